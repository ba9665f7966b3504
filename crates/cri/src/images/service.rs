//! The six calls.

use std::sync::Arc;

use caisson_image::{FindImageError, ImageRecord, Reference, Store};
use caisson_node::clock::now_nanos;
use caisson_node::pods::Pods;
use caisson_node::pods::view::FilesystemUsage;
use tonic::{Request, Response, Status};

use super::auth::credential;
use super::pull::{Pulls, note};
use super::view;
use super::{Parts, parts};
use crate::blocking::blocking;
use crate::call::{Call, about};
use crate::config::Live;
use crate::error;
use crate::log::{Level, log};
use crate::v1;
use crate::v1::image_service_server::ImageService;

/// Longest that an image may be called, in bytes.
const MAX_NAME: usize = 4096;

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Images {
    pods: Pods,
    config: Live,
    pulls: Arc<Pulls>,
}

impl Images {
    pub(crate) fn new(pods: Pods, config: Live, pulls: Arc<Pulls>) -> Self {
        Self { pods, config, pulls }
    }

    async fn list(&self, filter: Option<v1::ImageFilter>) -> Result<Vec<v1::Image>, Status> {
        let wanted = filter.and_then(|f| f.image).map(|spec| spec.image).unwrap_or_default();
        let (pods, config) = (self.pods.clone(), self.config.now());
        blocking(move || {
            let store = store(&pods)?;
            let records = if wanted.is_empty() {
                store.images().map_err(error::of_store)?
            } else {
                same(store, &wanted)?
            };
            Ok(view::images(&records, config.pinned()))
        })
        .await
    }

    /// The handler that an image is for must be one of this node.
    fn check_handler(&self, spec: &v1::ImageSpec) -> Result<(), Status> {
        if spec.runtime_handler.is_empty() {
            return Ok(());
        }
        let found = self.pods.engine().handlers().get(Some(&spec.runtime_handler)).map(drop);
        found.map_err(|e| Status::invalid_argument(format!("image.runtime_handler: {e}")))
    }
}

fn store(pods: &Pods) -> Result<&Store, Status> {
    pods.engine().store().map_err(error::of_store)
}

/// The name in a request, which must have one.
fn name(spec: Option<v1::ImageSpec>) -> Result<v1::ImageSpec, Status> {
    let spec = spec.unwrap_or_default();
    if spec.image.is_empty() {
        return Err(Status::invalid_argument("image.image is empty: which image?"));
    }
    if spec.image.len() > MAX_NAME {
        return Err(Status::invalid_argument("image.image is longer than 4096 bytes"));
    }
    about(&spec.image);
    Ok(spec)
}

/// All records of the image that `name` means, in whatever compressions it is
/// here; none if it is not.
fn same(store: &Store, name: &str) -> Result<Vec<ImageRecord>, Status> {
    let found = match store.find(name) {
        Ok(found) => found,
        Err(FindImageError::NotFound { .. } | FindImageError::OtherPlatform { .. }) => {
            return Ok(Vec::new());
        }
        Err(failed) => return Err(error::of_find(failed)),
    };
    let mut all = store.images().map_err(error::of_store)?;
    all.retain(|image| image.id == found.id);
    Ok(all)
}

fn filesystem(usage: FilesystemUsage) -> v1::FilesystemUsage {
    v1::FilesystemUsage {
        timestamp: i64::try_from(usage.timestamp).unwrap_or(i64::MAX),
        fs_id: Some(v1::FilesystemIdentifier { mountpoint: usage.mountpoint }),
        used_bytes: Some(v1::UInt64Value { value: usage.used_bytes }),
        inodes_used: Some(v1::UInt64Value { value: usage.inodes_used }),
    }
}

#[tonic::async_trait]
impl ImageService for Images {
    async fn list_images(
        &self,
        request: Request<v1::ListImagesRequest>,
    ) -> Result<Response<v1::ListImagesResponse>, Status> {
        let images = self.list(request.into_inner().filter).await?;
        Ok(Response::new(v1::ListImagesResponse { images }))
    }

    type StreamImagesStream = Parts<v1::StreamImagesResponse>;

    async fn stream_images(
        &self,
        request: Request<v1::StreamImagesRequest>,
    ) -> Result<Response<Self::StreamImagesStream>, Status> {
        let images = self.list(request.into_inner().filter).await?;
        Ok(Response::new(parts(images, |images| v1::StreamImagesResponse { images })))
    }

    async fn image_status(
        &self,
        request: Request<v1::ImageStatusRequest>,
    ) -> Result<Response<v1::ImageStatusResponse>, Status> {
        let v1::ImageStatusRequest { image, verbose } = request.into_inner();
        let spec = name(image)?;
        self.check_handler(&spec)?;
        let (pods, config) = (self.pods.clone(), self.config.now());
        let response = blocking(move || {
            let records = same(store(&pods)?, &spec.image)?;
            let image = view::images(&records, config.pinned()).into_iter().next();
            let info = records.first().filter(|_| verbose).map(view::info).unwrap_or_default();
            Ok(v1::ImageStatusResponse { image, info })
        });
        Ok(Response::new(response.await?))
    }

    async fn pull_image(
        &self,
        request: Request<v1::PullImageRequest>,
    ) -> Result<Response<v1::PullImageResponse>, Status> {
        // The sandbox's configuration changes nothing: one form of image serves
        // every handler of this build.
        let v1::PullImageRequest { image, auth, sandbox_config: _ } = request.into_inner();
        let spec = name(image)?;
        self.check_handler(&spec)?;
        let reference: Reference = spec
            .image
            .parse()
            .map_err(|e| Status::invalid_argument(format!("image.image: {e}")))?;
        let credential = match &auth {
            Some(auth) => credential(auth, &reference)?,
            None => None,
        };
        let (pods, config) = (self.pods.clone(), self.config.now());
        let (began, wanted) = (now_nanos(), reference.to_string());
        let pulled = self.pulls.pull(pods, config, reference, credential).await;
        if let Some(span) = Call::current().as_ref().and_then(Call::span) {
            let error = pulled.as_ref().err().map(Status::message);
            span.add("pull", began, &wanted, error);
        }
        let image_ref = pulled?;
        Ok(Response::new(v1::PullImageResponse { image_ref }))
    }

    async fn remove_image(
        &self,
        request: Request<v1::RemoveImageRequest>,
    ) -> Result<Response<v1::RemoveImageResponse>, Status> {
        let spec = name(request.into_inner().image)?;
        let pods = self.pods.clone();
        blocking(move || {
            let store = store(&pods)?;
            let records = same(store, &spec.image)?;
            let Some(first) = records.first() else { return Ok(()) };
            let id = first.id.to_string();
            let users: Vec<&str> =
                records.iter().flat_map(|r| &r.containers).map(String::as_str).collect();
            if !users.is_empty() {
                return Err(Status::failed_precondition(format!(
                    "image {} is used by containers {}: remove them first",
                    spec.image,
                    users.join(", ")
                )));
            }
            match store.remove(&id, true) {
                Ok(removed) => {
                    for name in removed.untagged.iter().map(Reference::familiar) {
                        note(&pods, "untag", &id, Some(name));
                    }
                    if removed.deleted.is_some() {
                        note(&pods, "delete", &id, None);
                    }
                    log(Level::Info, "image removed", &[("image", &spec.image), ("id", &id)]);
                }
                // Somebody else was faster.
                Err(caisson_image::RemoveImageError::Find(FindImageError::NotFound { .. })) => {}
                Err(failed) => return Err(error::of_remove(failed)),
            }
            Ok(())
        })
        .await?;
        Ok(Response::new(v1::RemoveImageResponse {}))
    }

    async fn image_fs_info(
        &self,
        _request: Request<v1::ImageFsInfoRequest>,
    ) -> Result<Response<v1::ImageFsInfoResponse>, Status> {
        let pods = self.pods.clone();
        let (images, containers) =
            blocking(move || pods.image_filesystems().map_err(error::of_pods)).await?;
        Ok(Response::new(v1::ImageFsInfoResponse {
            image_filesystems: images.into_iter().map(filesystem).collect(),
            container_filesystems: containers.into_iter().map(filesystem).collect(),
        }))
    }
}
