//! Who is let in where: the tenants, what each listener asks of its peers, and the rule that nobody is from the network
//! without credentials.

use mynah_auth::{DEFAULT_TENANT, IdentityFrom, Tenants, check_word};
use mynah_model::TenantId;
use mynah_net::{Address, Entrance};
use toml::Spanned;

use super::document::{self, AuthMode, Document, Transport};
use super::listeners::Protocol;
use super::rules::no_tenant;
use super::settings::Wrong;

/// What a listener asks of its peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Admittance {
    /// Whether a peer without credentials is let in.
    pub(crate) anonymous: bool,
    /// Whether a password may prove who a peer is.
    pub(crate) passwords: bool,
    /// Whether a password may be sent without TLS by SASL, on this machine.
    pub(crate) plaintext_auth: bool,
    /// What of a certificate says who a peer is.
    pub(crate) identity_from: Option<IdentityFrom>,
    /// Whose users come in.
    pub(crate) tenant: TenantId,
}

impl Admittance {
    /// What is asked of peers on this machine if nothing else is said.
    pub(super) const fn local(has_users: bool, protocol: Protocol) -> Self {
        Self {
            anonymous: !has_users || matches!(protocol, Protocol::Management),
            passwords: has_users,
            plaintext_auth: false,
            identity_from: None,
            tenant: TenantId::DEFAULT,
        }
    }
}

/// The tenants that are named, with their numbers.
pub(super) fn tenants(document: &Document, wrongs: &mut Vec<Wrong>) -> Tenants {
    let mut taken = std::collections::BTreeMap::new();
    for (name, number) in &document.tenants {
        let message = if name == DEFAULT_TENANT {
            "the tenant `default` is there without being named, with the number 0".to_owned()
        } else if let Err(wrong) = check_word(name) {
            wrong.to_string()
        } else if *number.get_ref() == 0 {
            "the number 0 belongs to the tenant `default`: choose one from 1 to 65535".to_owned()
        } else if let Some(other) = taken.insert(*number.get_ref(), name) {
            format!("the tenant `{other}` has this number: what is stored could not be told apart")
        } else {
            continue;
        };
        wrongs.push(Wrong::at(number, message));
    }
    let named = document.tenants.iter();
    named.map(|(name, number)| (name.as_str().into(), TenantId::new(*number.get_ref()))).collect()
}

pub(super) fn admittance(
    written: &document::Listener,
    protocol: Protocol,
    (address, entrance): (&Address, &Entrance),
    document: &Document,
) -> Result<Admittance, Wrong> {
    // A proxy on this machine brings in peers from elsewhere.
    let open = !address.is_local() || !entrance.proxies.is_empty();
    let identity_from = identity_from(written);
    let has_users = document.auth.has_any();
    let mode = mode(written, protocol, (address, open), has_users, identity_from)?;
    // A certificate that an authority of the listener has signed is enough there, whether or not it says who that is.
    let certified =
        protocol == Protocol::Management && mode == AuthMode::Certificate && identity_from.is_none();
    Ok(Admittance {
        anonymous: certified || matches!(mode, AuthMode::Anonymous | AuthMode::None),
        passwords: matches!(mode, AuthMode::Anonymous | AuthMode::Password)
            && has_users
            && protocol != Protocol::Coap,
        plaintext_auth: plaintext_auth(written, open)?,
        identity_from,
        tenant: tenant(written, document)?,
    })
}

fn identity_from(written: &document::Listener) -> Option<IdentityFrom> {
    let from = written.tls.as_ref()?.get_ref().identity_from.as_ref()?;
    Some(match from.get_ref() {
        document::IdentityFrom::CommonName => IdentityFrom::CommonName,
        document::IdentityFrom::SubjectAlternativeName => IdentityFrom::SubjectAlternativeName,
        document::IdentityFrom::Fingerprint => IdentityFrom::Fingerprint,
    })
}

/// How a listener finds out who its peers are, if it may.
fn mode(
    written: &document::Listener,
    protocol: Protocol,
    (address, open): (&Address, bool),
    has_users: bool,
    identity_from: Option<IdentityFrom>,
) -> Result<AuthMode, Wrong> {
    let place = written.auth.as_ref().map_or_else(|| written.address.span(), Spanned::span);
    let wrong = |message: String| Err(Wrong { span: place, message });
    let mode = written.auth.as_ref().map(|mode| *mode.get_ref());
    if protocol == Protocol::Management {
        return management_mode(mode, open, has_users, requires_certificates(written), wrong);
    }
    if protocol == Protocol::Coap {
        let shares =
            written.transport.as_ref().is_some_and(|transport| *transport.get_ref() == Transport::Dtls);
        let has_keys = shares && has_users;
        if shares && !has_keys && written.tls.is_none() {
            return wrong(
                "DTLS needs keys or certificates: set users_file under [auth] (`mynah user add --psk` makes a key), or \
                 listener.tls"
                    .to_owned(),
            );
        }
        return coap_mode(mode, (address, open), identity_from.is_some() || has_keys, wrong);
    }
    let default = match identity_from {
        _ if has_users => AuthMode::Password,
        Some(_) => AuthMode::Certificate,
        None => AuthMode::Anonymous,
    };
    match mode.unwrap_or(default) {
        AuthMode::Anonymous if open => wrong(format!(
            "{address} is open to the network, and this listener would let anybody in: set auth = \"password\", and \
             users_file under [auth]"
        )),
        AuthMode::Password if !has_users => wrong(
            "there are no passwords to check: set users_file under [auth] (`mynah user add` makes one)"
                .to_owned(),
        ),
        AuthMode::None => wrong("auth = \"none\" is for listeners of CoAP".to_owned()),
        AuthMode::Certificate if identity_from.is_none() => wrong(
            "no certificate says who a peer is: set client_certificates, client_ca and identity_from under \
             listener.tls"
                .to_owned(),
        ),
        mode => Ok(mode),
    }
}

/// Who asks from this machine need not say who it is, unless that is wanted: programs that collect metrics are told nothing
/// secret. Who comes from elsewhere has to.
fn management_mode(
    mode: Option<AuthMode>,
    open: bool,
    has_users: bool,
    requires_certificates: bool,
    wrong: impl FnOnce(String) -> Result<AuthMode, Wrong>,
) -> Result<AuthMode, Wrong> {
    let default = if open && has_users { AuthMode::Password } else { AuthMode::Anonymous };
    match mode.unwrap_or(default) {
        AuthMode::Anonymous if open => wrong(
            "a management listener that the network reaches asks who its clients are: set users_file under [auth]; or auth = \
             \"certificate\", and client_certificates = \"required\" under listener.tls"
                .to_owned(),
        ),
        AuthMode::Password if !has_users => wrong(
            "there are no passwords to check: set users_file under [auth] (`mynah user add` makes one)"
                .to_owned(),
        ),
        AuthMode::None => wrong("auth = \"none\" is for listeners of CoAP".to_owned()),
        AuthMode::Certificate if !requires_certificates => wrong(
            "nobody has to show a certificate: set client_certificates = \"required\" and client_ca under listener.tls"
                .to_owned(),
        ),
        mode => Ok(mode),
    }
}

/// CoAP has no words for passwords: peers are who their certificate or their key says, or nobody in particular. That nobody has to say
/// who they are at an address that the network reaches is written down.
fn coap_mode(
    mode: Option<AuthMode>,
    (address, open): (&Address, bool),
    can_prove: bool,
    wrong: impl FnOnce(String) -> Result<AuthMode, Wrong>,
) -> Result<AuthMode, Wrong> {
    let default = if can_prove { AuthMode::Certificate } else { AuthMode::Anonymous };
    match mode.unwrap_or(default) {
        AuthMode::Anonymous if open => wrong(format!(
            "{address} is open to the network, and its peers say nothing of who they are: set auth = \"none\" if that is \
             meant, and let rules say what `anonymous` may do"
        )),
        AuthMode::Password => {
            wrong("CoAP has no passwords: set auth = \"none\", or ask for certificates".to_owned())
        }
        AuthMode::Certificate if !can_prove => wrong(
            "no certificate says who a peer is: set client_certificates, client_ca and identity_from under \
             listener.tls"
                .to_owned(),
        ),
        mode => Ok(mode),
    }
}

/// Whether nobody gets in without a certificate that an authority of the listener has signed.
fn requires_certificates(written: &document::Listener) -> bool {
    let required = document::ClientCertificates::Required;
    written.tls.as_ref().is_some_and(|tls| tls.get_ref().client_certificates == required)
}

fn plaintext_auth(written: &document::Listener, open: bool) -> Result<bool, Wrong> {
    let Some(wanted) = &written.plaintext_auth else { return Ok(false) };
    if open && *wanted.get_ref() {
        let message = "passwords would be there for everybody on the network to read: this is for listeners on an address \
                       of this machine, without proxies; use TLS elsewhere";
        return Err(Wrong::at(wanted, message));
    }
    Ok(*wanted.get_ref())
}

fn tenant(written: &document::Listener, document: &Document) -> Result<TenantId, Wrong> {
    let Some(name) = &written.tenant else { return Ok(TenantId::DEFAULT) };
    let known = document.tenants.get(name.get_ref()).map(|number| TenantId::new(*number.get_ref()));
    let known = known.or_else(|| (name.get_ref() == DEFAULT_TENANT).then_some(TenantId::DEFAULT));
    known.ok_or_else(|| Wrong::at(name, no_tenant(name.get_ref())))
}
