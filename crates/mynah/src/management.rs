//! The rules at a management listener: who may see what it shows. Whether the process is well everybody may know.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use mynah_core::rules::{Action, Peer, Resolver, Rules};
use mynah_model::{Identity, TenantId};
use mynah_net::Secured;
use tokio::sync::watch;

use crate::config::Protocol;
use crate::rules::address;

/// The answer to one who may not (RFC 9457).
const FORBIDDEN: &str = r#"{"type":"urn:mynah:problem:forbidden","title":"Forbidden","status":403,"detail":"the rules do not permit to administer the broker"}"#;

/// The routes of the listener of this name, for those whom the rules of the moment let administer.
pub(crate) fn guarded(router: Router, listener: &str, rules: watch::Receiver<Arc<Rules>>) -> Router {
    let identity = Identity::anonymous(TenantId::DEFAULT, listener);
    let guard = move |ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request, next: Next| {
        let is_public = matches!(request.uri().path(), "/healthz" | "/livez" | "/readyz");
        let secured = request.extensions().get();
        let permitted = is_public || may_administer(&rules.borrow(), &identity, peer, secured);
        async move { if permitted { next.run(request).await } else { forbidden() } }
    };
    router.layer(from_fn(guard))
}

fn may_administer(
    rules: &Arc<Rules>,
    identity: &Identity,
    peer: SocketAddr,
    secured: Option<&Secured>,
) -> bool {
    let certificate = secured.and_then(|secured| secured.certificate.as_deref());
    let peer = Peer {
        address: Some(address(peer.ip())),
        sha256: certificate.map(|certificate| &certificate.sha256),
        common_name: certificate.and_then(|certificate| certificate.common_name.as_deref()),
        ..Peer::new(identity, Protocol::Management.name())
    };
    Resolver::new(Arc::clone(rules)).resolve(&peer).permits_at_all(Action::Administer)
}

fn forbidden() -> Response {
    let fields = [(header::CONTENT_TYPE, "application/problem+json")];
    (StatusCode::FORBIDDEN, fields, FORBIDDEN).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use axum::routing::get;
    use mynah_core::rules::{Network, Reach, Rule, Who};
    use tower::ServiceExt;

    #[tokio::test]
    async fn who_may_not_administer_sees_only_whether_the_process_is_well() {
        let (rules, watched) = watch::channel(Arc::new(Rules::default()));
        let router = Router::new().route("/metrics", get(|| async {})).route("/healthz", get(|| async {}));
        let router = guarded(router, "management", watched);
        let status = async |path: &str, peer: [u8; 4]| {
            let mut request = Request::get(path).body(Body::empty()).unwrap();
            request.extensions_mut().insert(ConnectInfo(SocketAddr::from((peer, 1))));
            router.clone().oneshot(request).await.unwrap().status().as_u16()
        };
        assert_eq!(status("/metrics", [127, 0, 0, 1]).await, 200);
        let who = Who { networks: vec![Network::v4(0x0A00_0000, 8)], ..Who::default() };
        let rule =
            Rule { who, actions: vec![Action::Administer], allow: Reach::Everything, ..Rule::default() };
        rules.send_replace(Arc::new(Rules::new(vec![rule])));
        assert_eq!(status("/metrics", [127, 0, 0, 1]).await, 403);
        assert_eq!(status("/healthz", [127, 0, 0, 1]).await, 200);
        assert_eq!(status("/metrics", [10, 1, 2, 3]).await, 200);
    }
}
