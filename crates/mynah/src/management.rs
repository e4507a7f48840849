//! Who may see and change what a management listener shows: who a client is it says by name and password, by a token or by its
//! certificate, and the rules say who may administer. Whether the process is well everybody may know.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::http::{Extensions, HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use mynah_admin::Asker;
use mynah_auth::{Authenticator, Door, Login};
use mynah_core::rules::{Action, Basis, Names, Object, Peer, Resolver, Rules};
use mynah_engine::{Actor, AuditEvent, Denial, Proof};
use mynah_http::{Problem, adapter, mapping};
use mynah_model::Reason;
use mynah_net::Secured;
use tokio::sync::{Semaphore, watch};
use tokio::task;

use crate::authentication::{Authentication, door};
use crate::config::{Listener, Protocol};
use crate::doorkeeper::{described, mandate};
use crate::herald::{Gate, Herald};
use crate::rules::address;

/// The answer to one who may not (RFC 9457).
const FORBIDDEN: &str = r#"{"type":"urn:mynah:problem:forbidden","title":"Forbidden","status":403,"detail":"the rules do not permit to administer the broker"}"#;

/// Logins of one listener that may wait to be verified.
const WAITING_MAX: usize = 64;

/// What lets clients in at a management listener.
pub(crate) struct Guard {
    gate: Gate,
    door: Arc<Door>,
    authenticator: Option<Arc<Authenticator>>,
    rules: watch::Receiver<Arc<Rules>>,
    herald: Herald,
    waiting: Semaphore,
}

impl Guard {
    /// That of a listener.
    pub(crate) fn at(
        listener: &Listener,
        authentication: Option<&Authentication>,
        rules: watch::Receiver<Arc<Rules>>,
        herald: &Herald,
    ) -> Self {
        let authenticator = authentication.map(Authentication::authenticator).cloned();
        Self::new(Gate::new(listener), door(listener), authenticator, rules, herald.clone())
    }

    fn new(
        gate: Gate,
        door: Door,
        authenticator: Option<Arc<Authenticator>>,
        rules: watch::Receiver<Arc<Rules>>,
        herald: Herald,
    ) -> Self {
        let waiting = Semaphore::new(WAITING_MAX);
        Self { gate, door: Arc::new(door), authenticator, rules, herald, waiting }
    }

    /// Who sends a request, if it may administer; what is answered, if it may not.
    async fn admit(
        &self,
        address: SocketAddr,
        fields: &HeaderMap,
        extensions: &Extensions,
    ) -> Result<Asker, Response> {
        let caller = self.caller(address, extensions);
        let identified = self.identify(address, caller, fields).await;
        let asker = identified.map_err(|problem| adapter::problem(&problem))?;
        let rules = Arc::clone(&self.rules.borrow());
        let peer = peer(&asker, extensions);
        let rights = Resolver::new(Arc::clone(&rules)).resolve_within(&peer, asker.mandate.as_ref());
        if rights.permits_at_all(Action::Administer) {
            return Ok(asker);
        }
        let actor = || self.gate.actor(address.ip()).of(&asker.identity);
        self.herald.denied(|| denied(&rules, &peer, actor()));
        Err(forbidden())
    }

    /// Who a client proves to be, and what it may do at most.
    async fn identify(
        &self,
        address: SocketAddr,
        caller: mynah_auth::Peer,
        fields: &HeaderMap,
    ) -> Result<Asker, Problem> {
        let anonymous = Asker::anonymous(address, self.gate.tenant, &self.gate.listener);
        let Some(authenticator) = &self.authenticator else { return Ok(anonymous) };
        let said = fields.get(header::AUTHORIZATION).filter(|_| self.door.passwords);
        let login = if let Some(value) = said {
            let (user, password) = mapping::credentials(value.as_bytes())?;
            self.verify(authenticator, caller, &user, &password).await
        } else if self.door.identity_from.is_some() && caller.certificate.is_some() {
            authenticator.verify_proof(self.herald.now(), &caller, None)
        } else if self.door.anonymous {
            return Ok(anonymous);
        } else {
            return Err(Problem::Authorization("say who you are: name and password, or a token"));
        };
        let Login { identity, groups, rights, .. } = login.map_err(Problem::Refused)?;
        let mandate = rights.as_ref().map(mandate).transpose();
        let mandate = mandate.map_err(|_| Problem::Refused(Reason::BadCredentials))?;
        Ok(Asker { identity, groups, mandate: mandate.map(Arc::new), ..anonymous })
    }

    /// A client, as logging in depends on it.
    fn caller(&self, address: SocketAddr, extensions: &Extensions) -> mynah_auth::Peer {
        let certificate = extensions.get::<Secured>().and_then(certificate);
        mynah_auth::Peer {
            door: Arc::clone(&self.door),
            client_id: None,
            address: Some(address.ip()),
            is_local: address.ip().is_loopback(),
            certificate: certificate.map(|certificate| Arc::new(described(certificate))),
            key_of: None,
            channel: None,
        }
    }

    /// Verifies a password or a token, on a thread that has nothing else to do.
    async fn verify(
        &self,
        authenticator: &Arc<Authenticator>,
        caller: mynah_auth::Peer,
        user: &str,
        password: &[u8],
    ) -> Result<Login, Reason> {
        let now = self.herald.now();
        if let Some(known) = authenticator.recall(now, &caller, user, password) {
            return known;
        }
        let _permit = self.waiting.try_acquire().map_err(|_| Reason::ServerBusy)?;
        let (authenticator, user, password) = (Arc::clone(authenticator), user.to_owned(), password.to_vec());
        let verify = move || authenticator.verify_password(now, &caller, &user, &password);
        task::spawn_blocking(verify).await.unwrap_or(Err(Reason::ServerBusy))
    }
}

/// The routes of a listener, for those whom it lets in.
pub(crate) fn guarded(router: Router, guard: Guard) -> Router {
    let guard = Arc::new(guard);
    let admit = move |ConnectInfo(address): ConnectInfo<SocketAddr>, mut request: Request, next: Next| {
        let guard = Arc::clone(&guard);
        async move {
            if !matches!(request.uri().path(), "/healthz" | "/livez" | "/readyz") {
                match guard.admit(address, request.headers(), request.extensions()).await {
                    Ok(asker) => drop(request.extensions_mut().insert(asker)),
                    Err(response) => return response,
                }
            }
            next.run(request).await
        }
    };
    router.layer(from_fn(admit))
}

fn certificate(secured: &Secured) -> Option<&mynah_engine::PeerCertificate> {
    secured.proof.as_deref().and_then(Proof::certificate)
}

/// Who asks, as far as rules can speak of it.
fn peer<'a>(asker: &'a Asker, extensions: &'a Extensions) -> Peer<'a> {
    let certificate = extensions.get::<Secured>().and_then(certificate);
    Peer {
        groups: &asker.groups,
        address: Some(address(asker.address.ip())),
        sha256: certificate.map(|certificate| &certificate.sha256),
        common_name: certificate.and_then(|certificate| certificate.common_name.as_deref()),
        ..Peer::new(&asker.identity, Protocol::Management.name())
    }
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
    use mynah_auth::{PasswordForms, Tenants, ThrottleSettings, User, Users, UsersFile};
    use mynah_core::rules::{Network, Reach, Rule, Who};
    use mynah_model::TenantId;
    use std::path::Path;
    use tower::ServiceExt;

    const BASIC_ADA: &str = "Basic YWRhOmVuZ2luZQ==";
    const BASIC_ADA_WRONG: &str = "Basic YWRhOng=";

    fn authenticator() -> Arc<Authenticator> {
        let mut ada = User::new("ada");
        let forms = PasswordForms {
            argon2: true,
            scram_sha_256: false,
            scram_sha_1: false,
            iterations: mynah_auth::ITERATIONS,
        };
        ada.set_password("engine", forms).unwrap();
        let mut file = UsersFile::new(Path::new("users"));
        file.add(ada).unwrap();
        let users = Users::new(&file, &Tenants::default(), None).unwrap();
        Arc::new(Authenticator::new(users, ThrottleSettings::default(), None, |_| ()).unwrap())
    }

    struct Place {
        router: Router,
        rules: watch::Sender<Arc<Rules>>,
    }

    impl Place {
        fn new(anonymous: bool, authenticator: Option<Arc<Authenticator>>) -> Self {
            let (rules, watched) = watch::channel(Arc::new(Rules::default()));
            let who = async |request: Request| {
                let asker = request.extensions().get::<Asker>().unwrap();
                if asker.identity.is_anonymous() { "-".to_owned() } else { asker.identity.name().to_owned() }
            };
            let router = Router::new().route("/metrics", get(who)).route("/healthz", get(|| async {}));
            let door = Door {
                listener: "o".into(),
                protocol: "management",
                tenant: TenantId::DEFAULT,
                is_named: false,
                anonymous,
                passwords: authenticator.is_some(),
                plaintext_auth: false,
                identity_from: None,
            };
            let gate =
                Gate { listener: "o".into(), protocol: Protocol::Management, tenant: TenantId::DEFAULT };
            let guard = Guard::new(gate, door, authenticator, watched, Herald::default());
            Self { router: guarded(router, guard), rules }
        }

        /// The status, and who was let in or how one could be.
        async fn ask(&self, path: &str, peer: [u8; 4], authorization: &str) -> (u16, String) {
            let mut request = Request::get(path).body(Body::empty()).unwrap();
            request.extensions_mut().insert(ConnectInfo(SocketAddr::from((peer, 1))));
            if !authorization.is_empty() {
                request.headers_mut().insert("authorization", authorization.parse().unwrap());
            }
            let response = self.router.clone().oneshot(request).await.unwrap();
            let status = response.status().as_u16();
            let challenge = response.headers().get("www-authenticate").map(|field| field.to_str().unwrap());
            if let Some(challenge) = challenge {
                return (status, challenge.split(' ').next().unwrap().to_owned());
            }
            let body = axum::body::to_bytes(response.into_body(), 1 << 10).await.unwrap();
            (status, String::from_utf8(body.to_vec()).unwrap())
        }
    }

    #[tokio::test]
    async fn who_may_not_administer_sees_only_whether_the_process_is_well() {
        let place = Place::new(true, None);
        let status = async |path: &str, peer: [u8; 4]| place.ask(path, peer, "").await.0;
        assert_eq!(status("/metrics", [127, 0, 0, 1]).await, 200);
        let who = Who { networks: vec![Network::v4(0x0A00_0000, 8)], ..Who::default() };
        let rule =
            Rule { who, actions: vec![Action::Administer], allow: Reach::Everything, ..Rule::default() };
        place.rules.send_replace(Arc::new(Rules::new(vec![rule])));
        assert_eq!(status("/metrics", [127, 0, 0, 1]).await, 403);
        assert_eq!(status("/healthz", [127, 0, 0, 1]).await, 200);
        assert_eq!(status("/metrics", [10, 1, 2, 3]).await, 200);
    }

    #[tokio::test]
    async fn a_password_is_verified_where_there_are_users() {
        let (here, ok) = ([127, 0, 0, 1], |who: &str| (200, who.to_owned()));
        let refused = (401, "Basic".to_owned());
        // Nobody could be wrong about a password that nobody has.
        assert_eq!(Place::new(true, None).ask("/metrics", here, BASIC_ADA_WRONG).await, ok("-"));
        let open = Place::new(true, Some(authenticator()));
        assert_eq!(open.ask("/metrics", here, "").await, ok("-"));
        assert_eq!(open.ask("/metrics", here, BASIC_ADA).await, ok("ada"));
        assert_eq!(open.ask("/metrics", here, BASIC_ADA_WRONG).await, refused);
        let closed = Place::new(false, Some(authenticator()));
        for wrong in ["", BASIC_ADA_WRONG, "Basic YWRh", "Digest x", "Bearer x.y.z"] {
            assert_eq!(closed.ask("/metrics", here, wrong).await, refused, "{wrong}");
        }
        assert_eq!(closed.ask("/metrics", here, BASIC_ADA).await, ok("ada"));
        assert_eq!(closed.ask("/healthz", here, "").await.0, 200);
    }

    #[tokio::test]
    async fn rules_speak_of_who_has_logged_in() {
        let place = Place::new(true, Some(authenticator()));
        let who = Who { identities: vec!["ada".into()], ..Who::default() };
        let rule =
            Rule { who, actions: vec![Action::Administer], allow: Reach::Everything, ..Rule::default() };
        place.rules.send_replace(Arc::new(Rules::new(vec![rule])));
        assert_eq!(place.ask("/metrics", [127, 0, 0, 1], "").await.0, 403);
        assert_eq!(place.ask("/metrics", [127, 0, 0, 1], BASIC_ADA).await.0, 200);
    }

    #[tokio::test]
    async fn who_guesses_too_often_is_not_looked_at() {
        let place = Place::new(false, Some(authenticator()));
        for _ in 0..20 {
            place.ask("/metrics", [10, 0, 0, 1], BASIC_ADA_WRONG).await;
        }
        assert_ne!(place.ask("/metrics", [10, 0, 0, 1], BASIC_ADA).await.0, 200);
        assert_eq!(place.ask("/metrics", [10, 0, 0, 2], BASIC_ADA).await.0, 200);
    }
}
