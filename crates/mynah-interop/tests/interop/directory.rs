//! Users of Debian's `slapd`, as the broker asks for them.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use mynah_auth::Grant;
use mynah_auth::remote::{
    EndpointSettings, GroupsFrom, Judgement, Ldap, LdapSettings, Login, Unavailable, UserFrom,
};
use mynah_interop::{Certificates, Folder, PATIENCE, Process};
use mynah_model::TenantId;

/// What is in the directory. Of the groups in `employeeType` and those that name their members, a test takes one kind.
const ENTRIES: &str = "\
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people

dn: ou=groups,dc=example,dc=org
objectClass: organizationalUnit
ou: groups

dn: cn=service,dc=example,dc=org
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: service
userPassword: fetch

dn: uid=ada,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: ada
cn: Ada
sn: Lovelace
mail: ada@example.org
employeeType: cn=engineers,ou=groups,dc=example,dc=org
employeeType: poets
userPassword: engine

dn: uid=b\\2cob\\2a,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: b,ob*
cn: Bob
sn: Bob
userPassword: builder

dn: uid=twin1,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: twin1
cn: Twin
sn: Twin
mail: twin@example.org
userPassword: twin

dn: uid=twin2,ou=people,dc=example,dc=org
objectClass: inetOrgPerson
uid: twin2
cn: Twin
sn: Twin
mail: twin@example.org
userPassword: twin

dn: cn=staff,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: staff
member: uid=ada,ou=people,dc=example,dc=org
member: uid=twin1,ou=people,dc=example,dc=org

dn: cn=all,ou=groups,dc=example,dc=org
objectClass: groupOfNames
cn: all
member: uid=ada,ou=people,dc=example,dc=org
member: uid=b\\2cob\\2a,ou=people,dc=example,dc=org
";

/// A directory on a port of its own, with the certificates of the broker's tests.
pub(crate) struct Directory {
    pub(crate) address: SocketAddr,
    process: Process,
    certificates: Certificates,
    folder: Folder,
}

impl Directory {
    pub(crate) fn start() -> Self {
        let (folder, certificates) = (Folder::new(), Certificates::new());
        let (data, files) = (folder.path("data"), certificates.folder());
        std::fs::create_dir(&data).unwrap();
        let [ca, certificate, key] = ["ca.pem", "broker.pem", "broker.key"].map(|name| files.path(name));
        let configuration = format!(
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
             include /etc/ldap/schema/inetorgperson.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n\
             TLSCACertificateFile {}\nTLSCertificateFile {}\nTLSCertificateKeyFile {}\n\
             database mdb\nsuffix dc=example,dc=org\ndirectory {}\n\
             access to attrs=userPassword by anonymous auth by * none\n\
             access to * by self read by dn.base=\"cn=service,dc=example,dc=org\" read by * none\n",
            ca.display(),
            certificate.display(),
            key.display(),
            data.display()
        );
        let configuration = folder.write("slapd.conf", configuration);
        let entries = folder.write("entries.ldif", ENTRIES);
        let mut add = Command::new("/usr/sbin/slapadd");
        add.arg("-f").arg(&configuration).arg("-l").arg(entries);
        let _ = Process::start(&mut add).finish().success();
        // The system chooses a port, which is free again when the directory takes it.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let process = Self::serve(&folder, address);
        Self { address, process, certificates, folder }
    }

    fn serve(folder: &Folder, address: SocketAddr) -> Process {
        let mut command = Command::new("/usr/sbin/slapd");
        command.arg("-f").arg(folder.path("slapd.conf")).args([
            "-d",
            "0",
            "-h",
            &format!("ldap://{address}/"),
        ]);
        let process = Process::start(&mut command);
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(address).is_err() {
            assert!(Instant::now() < deadline, "slapd does not listen");
            sleep(Duration::from_millis(20));
        }
        process
    }

    /// The directory by its name of a user.
    fn by_name(&self) -> LdapSettings {
        LdapSettings {
            endpoint: EndpointSettings {
                url: format!("ldap://{}", self.address),
                ca: None,
                plaintext: false,
            },
            starttls: false,
            user: UserFrom::Template("uid={user},ou=people,dc=example,dc=org".to_owned()),
            identity_attribute: "uid".to_owned(),
            groups: Some(GroupsFrom::Attribute("employeeType".to_owned())),
            timeout: Duration::from_secs(10),
            connections_max: 4,
            cache: Duration::ZERO,
            cache_denied: Duration::ZERO,
            cache_entries_max: 100,
        }
    }

    /// The directory by a search for the name or the address of a user.
    fn by_search(&self) -> LdapSettings {
        let groups = GroupsFrom::Search {
            base: "ou=groups,dc=example,dc=org".to_owned(),
            filter: "(&(objectClass=groupOfNames)(member={dn}))".to_owned(),
            attribute: "cn".to_owned(),
        };
        let user = UserFrom::Search {
            bind_dn: "cn=service,dc=example,dc=org".to_owned(),
            bind_password: "fetch".to_owned(),
            base: "ou=people,dc=example,dc=org".to_owned(),
            filter: "(&(objectClass=inetOrgPerson)(|(uid={user})(mail={user})))".to_owned(),
        };
        LdapSettings { user, groups: Some(groups), ..self.by_name() }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

fn login<'l>(user: &'l str, password: &'l str) -> Login<'l> {
    Login { tenant: TenantId::DEFAULT, user, password: Some(password.as_bytes()), ..Login::default() }
}

/// Name and groups of whoever is let in; none is somebody who is not.
async fn found(ldap: &Ldap, user: &str, password: &str) -> Option<(String, Vec<String>)> {
    match ldap.ask(&login(user, password)).await.unwrap() {
        Judgement::Granted(Grant { identity, groups, .. }) => {
            Some((identity.name().to_owned(), groups.into_iter().map(String::from).collect()))
        }
        Judgement::Denied => None,
        Judgement::Ignored => panic!("a directory always has an opinion"),
    }
}

fn expected(name: &str, groups: &[&str]) -> Option<(String, Vec<String>)> {
    Some((name.to_owned(), groups.iter().map(|group| (*group).to_owned()).collect()))
}

/// What wants to be more than a name, or proves nothing.
const INTRUDERS: &[(&str, &str)] = &[
    ("ada", "builder"),
    ("ada", ""),
    ("", "engine"),
    ("eve", "engine"),
    ("*", "engine"),
    ("a*", "engine"),
    ("ad\\61", "engine"),
    ("ada)(uid=*", "engine"),
    ("ada)(|(uid=*", "engine"),
    ("*)(objectClass=*", "engine"),
    ("ada\0", "engine"),
    ("ada,ou=people,dc=example,dc=org", "engine"),
    ("x,uid=ada", "engine"),
    ("b*", "builder"),
    ("ada,ou=people,dc=example,dc=org", ""),
];

#[test]
fn users_are_found_by_name_and_by_search_and_nobody_else_is() {
    let directory = Directory::start();
    runtime().block_on(async {
        let (by_name, by_search) =
            (Ldap::new(directory.by_name()).unwrap(), Ldap::new(directory.by_search()).unwrap());
        for _ in 0..2 {
            assert_eq!(found(&by_name, "ada", "engine").await, expected("ada", &["engineers", "poets"]));
            assert_eq!(found(&by_search, "ada", "engine").await, expected("ada", &["all", "staff"]));
            assert_eq!(found(&by_name, "b,ob*", "builder").await, expected("b,ob*", &[]));
            assert_eq!(found(&by_search, "b,ob*", "builder").await, expected("b,ob*", &["all"]));
        }
        // However it is written, it is one identity.
        assert_eq!(found(&by_name, "ADA", "engine").await, expected("ada", &["engineers", "poets"]));
        assert_eq!(found(&by_search, "Ada@Example.Org", "engine").await, expected("ada", &["all", "staff"]));
        for (user, password) in INTRUDERS {
            assert_eq!(found(&by_name, user, password).await, None, "by name: {user:?} {password:?}");
            assert_eq!(found(&by_search, user, password).await, None, "by search: {user:?} {password:?}");
        }
        assert_eq!(found(&by_search, "twin@example.org", "twin").await, None, "it could be either");
        // None of this has spoilt the connections that are kept.
        assert_eq!(found(&by_name, "ada", "engine").await, expected("ada", &["engineers", "poets"]));
        assert_eq!(found(&by_search, "twin1", "twin").await, expected("twin1", &["staff"]));
    });
}

#[test]
fn many_at_once_share_the_connections() {
    let directory = Directory::start();
    runtime().block_on(async {
        let ldap = std::sync::Arc::new(Ldap::new(directory.by_search()).unwrap());
        let mut logins = tokio::task::JoinSet::new();
        for number in 0..60 {
            let ldap = std::sync::Arc::clone(&ldap);
            logins.spawn(async move {
                let (user, password) = if number % 2 == 0 { ("ada", "engine") } else { ("twin1", "engine") };
                (number, found(&ldap, user, password).await)
            });
        }
        while let Some(login) = logins.join_next().await {
            let (number, found) = login.unwrap();
            let groups = expected("ada", &["all", "staff"]);
            assert_eq!(found, groups.filter(|_| number % 2 == 0), "{number}");
        }
    });
}

#[test]
fn over_tls_only_the_directory_of_a_good_certificate_is_asked() {
    let directory = Directory::start();
    let url = format!("ldap://localhost:{}", directory.address.port());
    let over = |certificates: &Certificates| {
        let ca = Some(certificates.folder().path("ca.pem"));
        let endpoint = EndpointSettings { url: url.clone(), ca, plaintext: false };
        Ldap::new(LdapSettings { endpoint, starttls: true, ..directory.by_name() }).unwrap()
    };
    runtime().block_on(async {
        let good = over(&directory.certificates);
        assert_eq!(found(&good, "ada", "engine").await, expected("ada", &["engineers", "poets"]));
        assert_eq!(found(&good, "ada", "builder").await, None);
        let other = over(&Certificates::new());
        assert_eq!(other.ask(&login("ada", "engine")).await, Err(Unavailable));
    });
}

#[test]
fn a_directory_that_is_down_lets_in_only_who_is_known() {
    let directory = Directory::start();
    runtime().block_on(async {
        let settings = directory.by_name();
        let kept = Duration::from_secs(3_600);
        let remembering =
            LdapSettings { cache: kept, cache_denied: kept, timeout: Duration::from_secs(3), ..settings };
        let ldap = Ldap::new(remembering).unwrap();
        assert!(found(&ldap, "ada", "engine").await.is_some());
        assert_eq!(found(&ldap, "twin1", "wrong").await, None);
        directory.process.kill();
        assert!(found(&ldap, "ada", "engine").await.is_some(), "it was let in not long ago");
        assert_eq!(found(&ldap, "twin1", "wrong").await, None);
        for _ in 0..2 {
            assert_eq!(ldap.ask(&login("ada", "builder")).await, Err(Unavailable));
            assert_eq!(ldap.ask(&login("twin1", "twin")).await, Err(Unavailable));
        }
        let back = Directory::serve(&directory.folder, directory.address);
        assert!(found(&ldap, "twin1", "twin").await.is_some(), "over a connection made anew");
        drop(back);
        ldap.forget();
        assert_eq!(ldap.ask(&login("ada", "engine")).await, Err(Unavailable));
    });
}

#[test]
fn a_service_account_that_is_refused_lets_nobody_in() {
    let directory = Directory::start();
    let mut settings = directory.by_search();
    if let UserFrom::Search { bind_password, .. } = &mut settings.user {
        *bind_password = "wrong".to_owned();
    }
    let ldap = Ldap::new(settings).unwrap();
    assert_eq!(runtime().block_on(ldap.ask(&login("ada", "engine"))), Err(Unavailable));
}
