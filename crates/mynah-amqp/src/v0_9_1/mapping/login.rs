//! What a client says of who it is: PLAIN and AMQPLAIN become credentials, other mechanisms an exchange.

use mynah_stack::{Credentials, Exchange, Open};

use crate::v0_9_1::Mechanism;
use crate::v0_9_1::wire::{Table, Value};

/// The request to be let in that the first message of a mechanism makes; none if it is not one of that mechanism.
#[must_use]
pub fn open(mechanism: Mechanism, response: &[u8], receive_max: u16) -> Option<Open> {
    let mut open = Open::new(receive_max);
    match mechanism {
        Mechanism::Plain => open.credentials = Some(plain(response)?),
        Mechanism::Amqplain => open.credentials = Some(amqplain(response)?),
        Mechanism::ScramSha256 | Mechanism::External => {
            open.exchange = Some(Exchange { method: mechanism.name().into(), data: response.into() });
        }
    }
    Some(open)
}

/// RFC 4616: authorisation identity, user name and password with NULs between. The first may be the user name only.
fn plain(response: &[u8]) -> Option<Credentials> {
    let mut parts = response.split(|&byte| byte == 0);
    let (authorise_as, user, password) = (parts.next()?, parts.next()?, parts.next()?);
    let is_other = !authorise_as.is_empty() && authorise_as != user;
    if parts.next().is_some() || is_other {
        return None;
    }
    Some(Credentials { user: str::from_utf8(user).ok()?.into(), password: Some(password.into()) })
}

/// A field table without its length, with LOGIN and PASSWORD.
fn amqplain(response: &[u8]) -> Option<Credentials> {
    let table = Table::new(response).ok()?;
    let (Value::LongStr(user), Value::LongStr(password)) = (table.get("LOGIN")?, table.get("PASSWORD")?)
    else {
        return None;
    };
    Some(Credentials { user: str::from_utf8(user).ok()?.into(), password: Some(password.into()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(
        mechanism: Mechanism,
        response: &[u8],
    ) -> Option<(alloc::string::String, Option<alloc::vec::Vec<u8>>)> {
        let credentials = open(mechanism, response, 1)?.credentials?;
        Some((credentials.user.into(), credentials.password.map(Into::into)))
    }

    #[test]
    fn user_name_and_password_come_in_either_form() {
        let expected = Some(("guest".into(), Some(b"p\xff".to_vec())));
        assert_eq!(login(Mechanism::Plain, b"\0guest\0p\xff"), expected);
        assert_eq!(login(Mechanism::Plain, b"guest\0guest\0p\xff"), expected);
        let table = b"\x05LOGINS\0\0\0\x05guest\x08PASSWORDS\0\0\0\x02p\xff";
        assert_eq!(login(Mechanism::Amqplain, table), expected);
        for wrong in [&b""[..], b"guest", b"\0guest", b"other\0guest\0p", b"\0guest\0p\0", b"\0\xff\0p"] {
            assert_eq!(login(Mechanism::Plain, wrong), None, "{}", wrong.escape_ascii());
        }
        for wrong in [&b"\x05LOGINS\0\0\0\x05guest"[..], b"\x05LOGINt\x01", b"guest"] {
            assert_eq!(login(Mechanism::Amqplain, wrong), None, "{}", wrong.escape_ascii());
        }
    }

    #[test]
    fn other_mechanisms_are_an_exchange() {
        let exchange = open(Mechanism::ScramSha256, b"n,,n=u,r=x", 1).and_then(|open| open.exchange);
        let exchange = exchange.map(|exchange| (exchange.method, exchange.data));
        assert_eq!(exchange, Some(("SCRAM-SHA-256".into(), b"n,,n=u,r=x"[..].into())));
    }
}
