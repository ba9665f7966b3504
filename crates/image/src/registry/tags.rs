//! The tags of a repository.

use serde::Deserialize;
use ureq::http::header::LINK;
use ureq::http::{Method, Uri};

use super::error::{RegistryError, RegistryFailure};
use super::exchange::{Ask, Payload, Reply, Target};
use super::hosts::{Capability, Endpoint};
use super::url;
use super::{RegistryClient, scope};
use crate::Reference;

/// The longest page.
const MAX_PAGE: u64 = 8 << 20;
/// The most tags, and pages.
const MAX_TAGS: usize = 1 << 20;
const MAX_PAGES: usize = 10_000;

#[derive(Deserialize)]
struct Page {
    tags: Option<Vec<String>>,
}

impl RegistryClient {
    /// All tags of the repository of `repository`, as the registry orders them.
    ///
    /// # Errors
    ///
    /// The registry can't be asked, has no such repository, or lists without end.
    pub fn tags(&self, repository: &Reference) -> Result<Vec<String>, RegistryError> {
        self.all_tags(repository)
            .map_err(|failure| failure.when("list the tags of", &repository.name()))
    }

    fn all_tags(&self, repository: &Reference) -> Result<Vec<String>, RegistryFailure> {
        let first = format!("/{}/tags/list?n=1000", repository.repository());
        let able = self.exchange.able(repository.registry(), Capability::Resolve)?;
        // Further pages are the same server's, so a mirror that knows none is passed
        // over only at the start.
        let mut failures = Vec::new();
        for endpoint in &able {
            let (mut tags, mut next) = match self.page_at(endpoint, repository, Target::Api(&first))
            {
                Ok(page) => page,
                Err(failure) => {
                    failures.push(failure);
                    continue;
                }
            };
            for _ in 0..MAX_PAGES {
                let Some(uri) = next else { return Ok(tags) };
                let (more, following) = self.page_at(endpoint, repository, Target::Given(&uri))?;
                if more.is_empty() || tags.len() + more.len() > MAX_TAGS {
                    next = None;
                    tags.extend(more.into_iter().take(MAX_TAGS.saturating_sub(tags.len())));
                } else {
                    tags.extend(more);
                    next = following;
                }
            }
            let why = format!("the list of tags does not end after {MAX_PAGES} pages");
            return Err(RegistryFailure::Protocol { url: endpoint.base.clone(), why });
        }
        Err(match failures.pop() {
            Some(only) if failures.is_empty() => only,
            last => {
                failures.extend(last);
                RegistryFailure::All(failures)
            }
        })
    }

    fn page_at(
        &self,
        endpoint: &Endpoint,
        repository: &Reference,
        target: Target<'_>,
    ) -> Result<(Vec<String>, Option<Uri>), RegistryFailure> {
        let ask = Ask {
            method: Method::GET,
            target,
            headers: Vec::new(),
            payload: Payload::None,
            scopes: vec![scope(repository.repository(), "pull")],
            expected: &[200],
            patient: false,
        };
        let retries = self.exchange.settings.retries;
        self.exchange.persist(endpoint, repository, &ask, retries, |reply| self.page(reply))
    }

    /// The tags of one page, and where the next one is.
    fn page(&self, reply: Reply) -> Result<(Vec<String>, Option<Uri>), RegistryFailure> {
        let url = reply.url();
        let next = reply.header(&LINK).and_then(next_link).and_then(|l| url::join(&reply.uri, l));
        let same = next.as_ref().and_then(url::origin) == url::origin(&reply.uri);
        let body = reply.body(MAX_PAGE, self.exchange.settings.body_timeout)?;
        let page: Page = serde_json::from_slice(&body).map_err(|_| RegistryFailure::Protocol {
            url,
            why: "the list of tags is malformed".to_owned(),
        })?;
        Ok((page.tags.unwrap_or_default(), next.filter(|_| same)))
    }
}

/// `<URL>; rel="next"` (RFC 8288).
fn next_link(header: &str) -> Option<&str> {
    let (target, parameters) = header.trim().strip_prefix('<')?.split_once('>')?;
    let next = parameters
        .split(';')
        .any(|parameter| matches!(parameter.trim(), "rel=next" | "rel=\"next\""));
    next.then_some(target)
}

#[cfg(test)]
mod tests {
    use super::next_link;

    #[test]
    fn links() {
        assert_eq!(next_link("</v2/a?last=b>; rel=\"next\""), Some("/v2/a?last=b"));
        assert_eq!(next_link("</a>; rel=next"), Some("/a"));
        for bad in ["", "</a>", "</a; rel=next", "/a; rel=next", "</a>; rel=\"prev\""] {
            assert_eq!(next_link(bad), None);
        }
    }
}
