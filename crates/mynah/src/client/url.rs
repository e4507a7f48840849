//! Where a server is and as whom to go there: `mqtt://[user[:password]@]host[:port]`.

use std::str::FromStr;

/// The port of MQTT without TLS.
const PORT: u16 = 1883;

/// The address of a server, with credentials if they stand in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
}

impl FromStr for Url {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(format!("write mqtt://{text}"));
        };
        if scheme != "mqtt" {
            return Err(format!("`{scheme}` is not spoken here; write mqtt://…"));
        }
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if rest.contains(['/', '?', '#']) {
            return Err("nothing may follow the host and port; the topic is given with -t".to_owned());
        }
        let (credentials, place) = match rest.rsplit_once('@') {
            Some((credentials, place)) => (Some(credentials), place),
            None => (None, rest),
        };
        let (user, password) =
            match credentials.map(|c| c.split_once(':').map_or((c, None), |(u, p)| (u, Some(p)))) {
                Some((user, password)) => (Some(decoded(user)?), password.map(decoded).transpose()?),
                None => (None, None),
            };
        let (host, port) = host_and_port(place)?;
        Ok(Self { host: host.to_owned(), port, user, password })
    }
}

fn host_and_port(place: &str) -> Result<(&str, u16), String> {
    let (host, port) = if let Some(rest) = place.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or("the `[` of an IPv6 address is not closed")?;
        (host, port.strip_prefix(':').or_else(|| port.is_empty().then_some("")).ok_or("write [host]:port")?)
    } else {
        place.split_once(':').unwrap_or((place, ""))
    };
    if host.is_empty() {
        return Err("there is no host in it".to_owned());
    }
    match port {
        "" => Ok((host, PORT)),
        _ => match port.parse() {
            Ok(port @ 1..) => Ok((host, port)),
            _ => Err(format!("`{port}` is no port; write 1 to 65535, and an IPv6 address in brackets")),
        },
    }
}

/// The text that `%XX` escapes stand for.
fn decoded(text: &str) -> Result<String, String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or("a `%` has to be followed by two digits")?;
        let byte = digits
            .bytes()
            .all(|b| b.is_ascii_hexdigit())
            .then(|| u8::from_str_radix(digits, 16).ok())
            .flatten();
        bytes.push(byte.ok_or_else(|| format!("`%{digits}` is no escape; write a literal `%` as %25"))?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| "the escapes make no UTF-8 text".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(host: &str, port: u16, user: Option<&str>, password: Option<&str>) -> Url {
        Url {
            host: host.to_owned(),
            port,
            user: user.map(str::to_owned),
            password: password.map(str::to_owned),
        }
    }

    #[test]
    fn urls_are_read() {
        for (text, expected) in [
            ("mqtt://localhost", url("localhost", 1883, None, None)),
            ("mqtt://localhost:2883/", url("localhost", 2883, None, None)),
            ("mqtt://[::1]:1884", url("::1", 1884, None, None)),
            ("mqtt://[::1]", url("::1", 1883, None, None)),
            ("mqtt://ada@h", url("h", 1883, Some("ada"), None)),
            ("mqtt://ada:p%40ss%3a@h:1", url("h", 1, Some("ada"), Some("p@ss:"))),
            ("mqtt://a:b:c@h", url("h", 1883, Some("a"), Some("b:c"))),
        ] {
            assert_eq!(text.parse::<Url>(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_url_says_why() {
        for (text, expected) in [
            ("localhost", "write mqtt://localhost"),
            ("http://localhost", "`http` is not spoken here; write mqtt://…"),
            ("mqtt://", "there is no host in it"),
            ("mqtt://h/a/b", "nothing may follow the host and port; the topic is given with -t"),
            ("mqtt://h:0", "`0` is no port; write 1 to 65535, and an IPv6 address in brackets"),
            ("mqtt://::1", "there is no host in it"),
            ("mqtt://[::1", "the `[` of an IPv6 address is not closed"),
            ("mqtt://a%4@h", "a `%` has to be followed by two digits"),
            ("mqtt://a%zz@h", "`%zz` is no escape; write a literal `%` as %25"),
            ("mqtt://a%ff@h", "the escapes make no UTF-8 text"),
        ] {
            assert_eq!(text.parse::<Url>(), Err(expected.to_owned()), "{text}");
        }
    }
}
