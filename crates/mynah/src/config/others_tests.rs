//! Tests of the tables that name others who say who a peer is: what is taken, and which key is to blame for what is not.

use std::path::PathBuf;

use super::{Problem, Settings, parse};

/// A folder with a secret, a short one, and what is neither key nor certificate.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = std::env::temp_dir().join(format!("mynah-config-{test}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::write(path.join("secret"), "s".repeat(40)).unwrap();
        std::fs::write(path.join("short"), "s").unwrap();
        Self(path)
    }

    fn parse(&self, text: &str) -> Result<Settings, Vec<Problem>> {
        parse(&self.0.join("mynah.toml"), text)
    }

    /// Line, column and words of the only problem.
    #[track_caller]
    fn problem(&self, text: &str) -> String {
        let problems = self.parse(text).unwrap_err();
        assert_eq!(problems.len(), 1, "{problems:?}");
        let folder = format!("{}/", self.0.display());
        problems[0].to_string().lines().next().unwrap().replace(&folder, "")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn jwt(algorithm: &str, more: &str) -> String {
    format!("[auth.jwt]\nalgorithms = [\"{algorithm}\"]\nissuer = \"i\"\naudience = [\"a\"]\n{more}\n")
}

#[test]
fn tokens_need_keys_that_fit() {
    let folder = Folder::new("jwt");
    let taken = folder.parse(&jwt("HS256", "secret_file = \"secret\"")).unwrap();
    assert!(taken.others.tokens.is_some() && !taken.listeners[0].admittance.anonymous);
    let url = "jwks_url = \"http://127.0.0.1:1/keys\"";
    assert!(folder.parse(&jwt("RS256", url)).is_ok());
    for (text, problem) in [
        (jwt("none", url), "mynah.toml:2:15: this algorithm is not taken; there are: HS256, RS256, "),
        (jwt("RS256", ""), "mynah.toml:1:1: public keys are needed for each algorithm but HS256, "),
        (jwt("HS256", url), "mynah.toml:1:1: HS256 needs secret_file, "),
        (
            jwt("HS256", "secret_file = \"short\""),
            "mynah.toml:5:15: short: the secret has less than 32 bytes",
        ),
        (jwt("HS256", "secret_file = \"nowhere\""), "mynah.toml:5:15: nowhere: No such file"),
        (jwt("RS256", "key_file = \"secret\""), "mynah.toml:5:12: secret: this is neither a JWK Set nor "),
        (
            jwt("RS256", &format!("{url}\nkey_file = \"secret\"")),
            "mynah.toml:6:12: keys come from jwks_url or ",
        ),
        (
            jwt("RS256", "jwks_url = \"http://login.example/\""),
            "mynah.toml:5:12: this would send secrets over ",
        ),
        (jwt("RS256", "jwks_url = \"https://login.example/\""), "mynah.toml:5:12: ca is missing: "),
        (
            jwt("RS256", &format!("{url}\nleeway_s = 301")),
            "mynah.toml:6:12: leeway_s has to be 0 to 300 seconds",
        ),
        (jwt("RS256", url).replace("[\"a\"]", "[]"), "mynah.toml:4:12: name at least one audience "),
    ] {
        let found = folder.problem(&text);
        assert!(found.starts_with(problem), "{found}\n{text}");
    }
}

#[test]
fn a_hook_is_asked_where_that_is_safe() {
    let folder = Folder::new("hook");
    let taken = folder.parse("[auth.http]\nurl = \"http://localhost:8000/login\"\n").unwrap();
    assert!(taken.others.hook.is_some() && !taken.listeners[0].admittance.anonymous);
    assert!(folder.parse("[auth.http]\nurl = \"http://hook.example/\"\nplaintext = true\n").is_ok());
    for (text, problem) in [
        ("url = \"hook.example\"", "mynah.toml:2:7: write a URL of http or https"),
        ("url = \"http://hook.example/\"", "mynah.toml:2:7: this would send secrets over the network"),
        (
            "url = \"https://hook.example/\"\nca = \"secret\"",
            "mynah.toml:3:6: secret: no certificates in PEM",
        ),
        ("url = \"http://localhost\"\nconcurrency = 0", "mynah.toml:3:15: concurrency has to be 1 to 1024"),
        ("url = \"http://localhost\"\ntimeout_s = 0", "mynah.toml:3:13: timeout_s has to be 1 to 60 seconds"),
    ] {
        let found = folder.problem(&format!("[auth.http]\n{text}\n"));
        assert!(found.starts_with(problem), "{found}\n{text}");
    }
}

#[cfg(not(feature = "ldap"))]
#[test]
fn a_directory_needs_a_program_that_knows_ldap() {
    let found = Folder::new("ldap").problem("[auth.ldap]\nurl = \"ldap://localhost\"\n");
    assert_eq!(found, "mynah.toml:1:1: this program knows no LDAP: build it with --features ldap");
}

#[cfg(feature = "ldap")]
#[test]
fn a_directory_needs_a_way_to_find_users() {
    let folder = Folder::new("ldap");
    let by_name = "user_dn = \"uid={user},dc=example\"";
    let search =
        "search = { bind_dn = \"cn=x\", password_file = \"secret\", base = \"\", filter = \"(uid={user})\" }";
    let with = |more: &str| format!("[auth.ldap]\nurl = \"ldap://localhost\"\n{more}\n");
    for taken in [by_name, search] {
        assert!(folder.parse(&with(taken)).unwrap().others.directory.is_some());
    }
    let groups = "groups_search = { base = \"\", filter = \"(member={dn})\" }";
    assert!(folder.parse(&with(&format!("{by_name}\n{groups}"))).is_ok());
    for (text, problem) in [
        (with(""), "mynah.toml:1:1: say how users are found: set user_dn or search"),
        (with(&format!("{by_name}\n{search}")), "mynah.toml:3:11: users are found by user_dn or by search"),
        (with("user_dn = \"uid=ada\""), "mynah.toml:1:1: write {user} where "),
        (with(&search.replace("secret", "nowhere")), "mynah.toml:3:46: nowhere: No such file"),
        (
            with(&format!("{by_name}\n{groups}\ngroups_attribute = \"memberOf\"")),
            "mynah.toml:5:20: groups come from groups_attribute or from groups_search",
        ),
        (with(by_name).replace("localhost", "ldap.example"), "mynah.toml:2:7: this would send secrets over "),
    ] {
        let found = folder.problem(&text);
        assert!(found.starts_with(problem), "{found}\n{text}");
    }
}

#[test]
fn settings_show_no_secret() {
    let folder = Folder::new("shown");
    std::fs::write(folder.0.join("secret"), "hushhushhushhushhushhushhushhush").unwrap();
    let settings = folder.parse(&jwt("HS256", "secret_file = \"secret\"")).unwrap();
    assert!(!format!("{settings:?}").contains("hush"));
}
