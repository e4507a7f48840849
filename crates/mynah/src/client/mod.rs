//! `mynah pub` and `mynah sub`: the client half of the MQTT stack on a blocking socket.

mod publish;
mod subscribe;
mod transport;
mod url;

pub(crate) use publish::publish;
pub(crate) use subscribe::subscribe;
pub(crate) use url::Url;
