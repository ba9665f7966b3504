//! An authorisation server: gives docker-registry the signed tokens it wants.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

use super::run;
use super::scripted::{Request, Scripted, answer};

pub(crate) const SERVICE: &str = "test-registry";
pub(crate) const ISSUER: &str = "test-issuer";

/// Makes a key; writes its certificate to `dir/tokens.pem`.
fn key(dir: &Path) -> (EcdsaKeyPair, String) {
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(document.as_ref())
    );
    std::fs::write(dir.join("tokens.key"), pem).unwrap();
    let arguments =
        "req -x509 -key tokens.key -days 2 -subj /CN=tokens -out tokens.pem -outform PEM";
    run("openssl", &arguments.split(' ').collect::<Vec<_>>(), dir);
    let pem = std::fs::read_to_string(dir.join("tokens.pem")).unwrap();
    let certificate: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    (EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap(), certificate)
}

/// Starts the server. Anyone may pull `public/*`; the user `user` with password
/// `password`, or the refresh token `refresh`, may do all.
pub(crate) fn start(dir: &Path) -> Scripted {
    let (key, certificate) = key(dir);
    Scripted::start(move |request, _, stream| {
        let basic = format!("Basic {}", STANDARD.encode("user:password"));
        let (known, scopes) = if request.method == "POST" {
            (request.form("refresh_token") == ["refresh"], request.form("scope"))
        } else {
            let given = request.header("authorization");
            if given.is_some_and(|given| given != basic) {
                let body = br#"{"details":"incorrect username or password"}"#;
                return answer(stream, "401 Unauthorized", &[], body);
            }
            (given.is_some(), request.query("scope"))
        };
        if !right_service(request) || request.method == "POST" && !known {
            return answer(stream, "400 Bad Request", &[], b"{}");
        }
        let scopes = scopes.join(" ");
        let access: Vec<String> = scopes
            .split(' ')
            .filter_map(|scope| {
                let mut parts = scope.split(':');
                let (kind, name, actions) = (parts.next()?, parts.next()?, parts.next()?);
                let granted: Vec<String> = actions
                    .split(',')
                    .filter(|action| known || name.starts_with("public/") && *action == "pull")
                    .map(|action| format!("{action:?}"))
                    .collect();
                Some(format!(
                    r#"{{"type":"{kind}","name":"{name}","actions":[{}]}}"#,
                    granted.join(",")
                ))
            })
            .collect();
        let token = token(&key, &certificate, &access.join(","));
        let body = format!(r#"{{"token":"{token}","expires_in":300}}"#);
        answer(stream, "200 OK", &["Content-Type: application/json"], body.as_bytes());
    })
}

fn right_service(request: &Request) -> bool {
    let services = request.query("service").into_iter().chain(request.form("service"));
    services.eq([SERVICE])
}

fn token(key: &EcdsaKeyPair, certificate: &str, access: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let header = format!(r#"{{"typ":"JWT","alg":"ES256","x5c":["{certificate}"]}}"#);
    let claims = format!(
        r#"{{"iss":"{ISSUER}","sub":"","aud":"{SERVICE}","exp":{},"nbf":{},"iat":{now},"jti":"1","access":[{access}]}}"#,
        now + 300,
        now - 60
    );
    let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}
