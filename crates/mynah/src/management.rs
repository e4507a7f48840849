//! The rules at a management listener: who may see what it shows. Whether the process is well everybody may know.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use mynah_core::rules::{Action, Basis, Names, Object, Peer, Resolver, Rules};
use mynah_engine::{Actor, AuditEvent, Denial};
use mynah_model::Identity;
use mynah_net::Secured;
use tokio::sync::watch;

use crate::config::Protocol;
use crate::herald::{Gate, Herald};
use crate::rules::address;

/// The answer to one who may not (RFC 9457).
const FORBIDDEN: &str = r#"{"type":"urn:mynah:problem:forbidden","title":"Forbidden","status":403,"detail":"the rules do not permit to administer the broker"}"#;

/// The routes of a listener, for those whom the rules of the moment let administer.
pub(crate) fn guarded(
    router: Router,
    gate: Gate,
    rules: watch::Receiver<Arc<Rules>>,
    herald: Herald,
) -> Router {
    let identity = Identity::anonymous(gate.tenant, &gate.listener);
    let guard = move |ConnectInfo(peer): ConnectInfo<SocketAddr>, request: Request, next: Next| {
        let is_public = matches!(request.uri().path(), "/healthz" | "/livez" | "/readyz");
        let asker = asker(&identity, peer, request.extensions().get());
        let permitted = is_public || may_administer(&rules.borrow(), &asker);
        if !permitted {
            let rules = rules.borrow();
            herald.denied(|| denied(&rules, &asker, gate.actor(peer.ip()).of(&identity)));
        }
        async move { if permitted { next.run(request).await } else { forbidden() } }
    };
    router.layer(from_fn(guard))
}

/// Who asks, as far as rules can speak of it.
fn asker<'a>(identity: &'a Identity, peer: SocketAddr, secured: Option<&'a Secured>) -> Peer<'a> {
    let certificate = secured.and_then(|secured| secured.proof.as_deref()?.certificate());
    Peer {
        address: Some(address(peer.ip())),
        sha256: certificate.map(|certificate| &certificate.sha256),
        common_name: certificate.and_then(|certificate| certificate.common_name.as_deref()),
        ..Peer::new(identity, Protocol::Management.name())
    }
}

fn may_administer(rules: &Arc<Rules>, asker: &Peer<'_>) -> bool {
    Resolver::new(Arc::clone(rules)).resolve(asker).permits_at_all(Action::Administer)
}

/// What the audit says, with the rule that it comes from.
fn denied(rules: &Arc<Rules>, asker: &Peer<'_>, actor: Actor) -> AuditEvent {
    let names = Names::new(asker.identity, &[]);
    let (reason, rule) = match rules.explain(asker, names, Action::Administer, Object::Nothing).basis {
        Basis::Denied(place) => (Denial::Denied, rules.written(place)),
        _ => (Denial::NotAllowed, None),
    };
    AuditEvent::denied(actor, Action::Administer, None, reason, rule)
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
    use mynah_model::TenantId;
    use tower::ServiceExt;

    #[tokio::test]
    async fn who_may_not_administer_sees_only_whether_the_process_is_well() {
        let (rules, watched) = watch::channel(Arc::new(Rules::default()));
        let router = Router::new().route("/metrics", get(|| async {})).route("/healthz", get(|| async {}));
        let gate = Gate { listener: "o".into(), protocol: Protocol::Management, tenant: TenantId::DEFAULT };
        let router = guarded(router, gate, watched, Herald::default());
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
