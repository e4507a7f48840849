//! Others that are asked who a peer is: keys that an issuer of tokens publishes, an HTTP hook, a directory. All of it
//! waits for the network and runs on the runtime of the caller; nothing of it lets anybody in because an answer failed
//! to come.

mod cache;
mod endpoint;
mod exchange;
mod hook;
mod jwks;
#[cfg(feature = "ldap")]
mod ldap;
mod login;
mod tokens;
mod watch;

pub use endpoint::{Endpoint, EndpointError, EndpointSettings};
pub use hook::{Hook, HookSettings};
pub use jwks::JwksSettings;
#[cfg(feature = "ldap")]
pub use ldap::{GroupsFrom, Ldap, LdapError, LdapSettings, UserFrom};
pub use login::{Certificate, Judgement, Login, Unavailable};
pub use tokens::{KeysFrom, Tokens, TokensError, TokensSettings};

#[cfg(test)]
mod hook_tests;
#[cfg(test)]
mod server;
#[cfg(test)]
mod tokens_tests;
