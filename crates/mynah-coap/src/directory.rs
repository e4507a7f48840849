//! The Resource Directory (RFC 9176): who has registered, with which links, and lookups among them. One directory serves
//! all associations of a tenant; what shares it between threads is not of this crate: see [`SharedDirectory`].

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::time::Duration;

use mynah_model::Instant;

use crate::wire::link_format::{Link, LinkWriter, links};

/// Bytes of the name of an endpoint or a sector (section 9.3).
pub const NAME_BYTES_MAX: usize = 63;
/// Seconds of a registration of which nothing is said (section 9.3).
pub const LIFETIME_DEFAULT: u32 = 90_000;
/// Links that one lookup gives unless the client asks for fewer.
const COUNT_MAX: usize = 1_000;

/// Gives one thread at a time its turn with a directory.
pub trait SharedDirectory: core::fmt::Debug + Send + Sync {
    /// Lets `work` have the directory for as long as it takes, which is not long.
    fn with(&self, work: &mut dyn FnMut(&mut Directory));
}

/// What an endpoint says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registration {
    /// The endpoint's name, `ep`.
    pub name: Box<str>,
    /// Its sector, `d`; empty if it has none.
    pub sector: Box<str>,
    /// What its links are relative to, `base`; absent if that is where it has registered from, which is reached through
    /// the broker.
    pub base: Option<Box<str>>,
    /// How long it is registered, `lt`.
    pub lifetime: Duration,
    /// What else its query says: keys and values.
    pub attributes: Vec<(Box<str>, Box<str>)>,
    /// Its links, a checked document.
    pub links: Box<str>,
}

/// A registration as it is kept.
#[derive(Clone, Debug)]
struct Kept {
    said: Registration,
    expires_at: Instant,
    /// The association that requests reach the endpoint by.
    holder: u64,
}

/// There are as many registrations as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// All registrations, by the numbers of their resources.
#[derive(Debug)]
pub struct Directory {
    registrations_max: usize,
    all: BTreeMap<u64, Kept>,
    by_name: BTreeMap<(Box<str>, Box<str>), u64>,
    by_expiry: BTreeSet<(Instant, u64)>,
}

/// What a lookup lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// Endpoints.
    Endpoints,
    /// Their resources.
    Resources,
}

impl Directory {
    /// An empty directory with room for so many.
    #[must_use]
    pub const fn new(registrations_max: usize) -> Self {
        Self { registrations_max, all: BTreeMap::new(), by_name: BTreeMap::new(), by_expiry: BTreeSet::new() }
    }

    /// How many are registered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether nobody is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Registers an endpoint, which replaces what it has said before (section 5). Returns the number of its resource:
    /// `number`, unless it had one.
    ///
    /// # Errors
    /// There is no room for one more.
    pub fn register(
        &mut self,
        now: Instant,
        said: Registration,
        (number, holder): (u64, u64),
    ) -> Result<u64, Full> {
        self.expire(now);
        let name = (said.sector.clone(), said.name.clone());
        let number = self.by_name.get(&name).copied().unwrap_or(number);
        if self.remove(number).is_none() && self.all.len() >= self.registrations_max {
            return Err(Full);
        }
        let expires_at = now + said.lifetime;
        self.by_name.insert(name, number);
        self.by_expiry.insert((expires_at, number));
        self.all.insert(number, Kept { said, expires_at, holder });
        Ok(number)
    }

    /// What the registration with this number says.
    pub fn get(&mut self, now: Instant, number: u64) -> Option<&Registration> {
        self.expire(now);
        self.all.get(&number).map(|kept| &kept.said)
    }

    /// When a registration ends, if this association holds it.
    #[must_use]
    pub fn held(&self, number: u64, holder: u64) -> Option<Instant> {
        self.all.get(&number).filter(|kept| kept.holder == holder).map(|kept| kept.expires_at)
    }

    /// Removes a registration.
    pub fn remove(&mut self, number: u64) -> Option<Registration> {
        let kept = self.all.remove(&number)?;
        self.by_expiry.remove(&(kept.expires_at, number));
        self.by_name.remove(&(kept.said.sector.clone(), kept.said.name.clone()));
        Some(kept.said)
    }

    fn expire(&mut self, now: Instant) {
        while let Some((expires_at, number)) = self.by_expiry.first().copied().filter(|(at, _)| *at <= now) {
            self.by_expiry.remove(&(expires_at, number));
            self.remove(number);
        }
    }

    /// What every part of the query selects (section 6), as a document of up to about `bytes_max` bytes. The parts `page`
    /// and `count` choose among the found.
    ///
    /// # Errors
    /// `page` or `count` is no number, or there is a page without a count.
    pub fn lookup(
        &mut self,
        now: Instant,
        lookup: Lookup,
        query: &[&str],
        bytes_max: usize,
    ) -> Result<String, NotAPage> {
        self.expire(now);
        let page = Page::of_query(query)?;
        let query: Vec<&str> = query.iter().copied().filter(|part| !Page::is_part(part)).collect();
        let (mut found, mut writer, mut bytes) = (0, LinkWriter::default(), 0);
        for number in self.by_name.values() {
            let Some(kept) = self.all.get(number) else { continue };
            let endpoint = kept.said.as_endpoint();
            let Some(Ok(endpoint)) = links(&endpoint).next() else { continue };
            let mut put = |target: &str, attributes: &str| {
                if page.has(found) && bytes < bytes_max {
                    writer.put(target, attributes);
                    bytes += target.len() + attributes.len() + 3;
                }
                found += 1;
            };
            let own = || links(&kept.said.links).flatten();
            match lookup {
                Lookup::Endpoints => {
                    let target = alloc::format!("/rd/{number:016x}");
                    let fits = |part: &&str| {
                        selects_target(part, &target)
                            || endpoint.is_selected_by(part)
                            || own().any(|link| link.is_selected_by(part))
                    };
                    if query.iter().all(fits) {
                        put(&target, endpoint.spelled());
                    }
                }
                Lookup::Resources => {
                    for link in own() {
                        let target = kept.said.resolve(link);
                        let fits = |part: &&str| {
                            selects_target(part, &target)
                                || !part.starts_with("href")
                                    && (link.is_selected_by(part) || endpoint.is_selected_by(part))
                        };
                        if query.iter().all(fits) {
                            put(&target, link.spelled());
                        }
                    }
                }
            }
        }
        Ok(writer.finish())
    }
}

/// Whether a part of a query asks for this target.
fn selects_target(part: &str, target: &str) -> bool {
    let Some(wanted) = part.strip_prefix("href=") else { return false };
    wanted.strip_suffix('*').map_or(wanted == target, |start| target.starts_with(start))
}

/// Page and count of a query are not what they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAPage;

/// Which of the found are wanted.
struct Page {
    from: usize,
    count: usize,
}

impl Page {
    fn is_part(part: &str) -> bool {
        part.starts_with("page=") || part.starts_with("count=")
    }

    fn of_query(query: &[&str]) -> Result<Self, NotAPage> {
        let number = |name: &str| {
            let value = query.iter().find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
            value.map(|value| value.parse::<usize>().map_err(|_| NotAPage)).transpose()
        };
        match (number("page")?, number("count")?) {
            (_, Some(0)) | (Some(_), None) => Err(NotAPage),
            (page, count) => {
                let count = count.unwrap_or(COUNT_MAX).min(COUNT_MAX);
                Ok(Self { from: page.unwrap_or_default().saturating_mul(count), count })
            }
        }
    }

    const fn has(&self, at: usize) -> bool {
        at >= self.from && at - self.from < self.count
    }
}

impl Registration {
    /// The endpoint as a link: what a lookup of endpoints gives, but for the target.
    fn as_endpoint(&self) -> String {
        let mut link = String::from("<>");
        let sector = Some(&self.sector).filter(|sector| !sector.is_empty());
        let said = [("ep", Some(&self.name)), ("d", sector), ("base", self.base.as_ref())];
        for (key, value) in said.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            // Writing to a string does not fail.
            let _ = write!(link, ";{key}=\"{value}\"");
        }
        for (key, value) in &self.attributes {
            let _ = write!(link, ";{key}=\"{value}\"");
        }
        link.push_str(";rt=\"core.rd-ep\"");
        link
    }

    /// The target of a link as others may ask for it: without a base through the broker.
    fn resolve(&self, link: Link<'_>) -> String {
        if !link.target.starts_with('/') {
            return link.target.into();
        }
        let mut target = String::new();
        match &self.base {
            Some(base) => target.push_str(base.trim_end_matches('/')),
            None => {
                target.push_str("/r/");
                for byte in self.name.bytes() {
                    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                        target.push(byte.into());
                    } else {
                        // Writing to a string does not fail.
                        let _ = write!(target, "%{byte:02X}");
                    }
                }
            }
        }
        target.push_str(link.target);
        target
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, links: &str) -> Registration {
        Registration {
            name: name.into(),
            lifetime: Duration::from_secs(60),
            links: links.into(),
            ..Registration::default()
        }
    }

    fn at(seconds: u64) -> Instant {
        Instant::ZERO + Duration::from_secs(seconds)
    }

    //= rfc9176 [5-4] [5-6]
    #[test]
    fn an_endpoint_has_one_resource_and_its_lifetime_ends_it() {
        let mut directory = Directory::new(2);
        assert_eq!(directory.register(at(0), said("a", "</x>"), (7, 1)), Ok(7));
        assert_eq!(directory.register(at(1), said("a", "</y>"), (8, 2)), Ok(7));
        assert_eq!((directory.held(7, 1), directory.held(7, 2)), (None, Some(at(61))));
        assert_eq!(directory.register(at(1), said("b", ""), (9, 3)), Ok(9));
        assert_eq!(directory.register(at(1), said("c", ""), (10, 3)), Err(Full));
        assert_eq!(directory.get(at(60), 7).unwrap().links, "</y>".into());
        assert_eq!(directory.get(at(61), 7), None);
        assert!(directory.is_empty());
        assert_eq!(directory.register(at(61), said("c", ""), (10, 3)), Ok(10));
        assert_eq!(directory.remove(10).unwrap().name, "c".into());
        assert_eq!((directory.len(), directory.remove(10)), (0, None));
    }

    //= rfc9176 [6.1-1] [6.2-1] [6.2-2] [6.3-1] [6.4-1]
    #[test]
    fn lookups_select_by_endpoints_and_by_links() {
        let mut directory = Directory::new(9);
        let mut first = said("node 1", "</temp>;rt=\"temperature\";ct=0,</light>;rt=\"light lux\"");
        first.attributes.push(("et".into(), "oic.d.sensor".into()));
        let second = Registration {
            base: Some("coap://[2001:db8::1]".into()),
            sector: "hall".into(),
            ..said("node2", "</light>;rt=\"light\",<coap://other/x>")
        };
        directory.register(at(0), first, (1, 1)).unwrap();
        directory.register(at(0), second, (2, 1)).unwrap();
        let mut lookup =
            |lookup, query: &[&str]| directory.lookup(at(1), lookup, query, 10_000).unwrap_or("?".into());
        let one = "</rd/0000000000000001>;ep=\"node 1\";et=\"oic.d.sensor\";rt=\"core.rd-ep\"";
        let two =
            "</rd/0000000000000002>;ep=\"node2\";d=\"hall\";base=\"coap://[2001:db8::1]\";rt=\"core.rd-ep\"";
        let both = alloc::format!("{one},{two}");
        for (query, expected) in [
            (&[][..], &both[..]),
            (&["ep=node 1"], one),
            (&["ep=node*", "d=hall"], two),
            (&["rt=temperature"], one),
            (&["rt=light"], &both),
            (&["et=oic.d.*", "rt=light"], one),
            (&["href=/rd/0000000000000002"], two),
            (&["count=1"], one),
            (&["count=1", "page=1"], two),
            (&["count=1", "page=2"], ""),
            (&["page=1"], "?"),
            (&["count=0"], "?"),
            (&["count=x"], "?"),
            (&["ep=other"], ""),
        ] {
            assert_eq!(lookup(Lookup::Endpoints, query), expected, "{query:?}");
        }
        for (query, expected) in [
            (&["rt=temperature"][..], "</r/node%201/temp>;rt=\"temperature\";ct=0"),
            (&["d=hall"], "<coap://[2001:db8::1]/light>;rt=\"light\",<coap://other/x>"),
            (&["href=/r/*", "rt=lux"], "</r/node%201/light>;rt=\"light lux\""),
        ] {
            assert_eq!(lookup(Lookup::Resources, query), expected, "{query:?}");
        }
    }
}
