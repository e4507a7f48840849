//! Tests of tokens: vectors of the RFCs, each way in which a token can be wrong, what claims become.

use std::time::Duration;

use mynah_model::{Identity, TenantId, WallTime};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::key::PublicKey;
use super::minting::{Signer, encode, jwks, random_secret, unsigned, with_secret};
use super::*;
use crate::grant::{Grant, TokenRights};

/// Seconds since 1970 at which the tests take place.
const NOW: u64 = 1_800_000_000;

fn policy() -> Policy {
    Policy {
        algorithms: Algorithm::ALL.into_iter().filter(|algorithm| *algorithm != Algorithm::Hs256).collect(),
        issuer: "https://issuer.example".into(),
        audience: vec!["mynah".into(), "broker".into()],
        leeway: Duration::from_secs(30),
        identity_claim: "sub".into(),
        groups_claim: "groups".into(),
        tenant_claim: None,
        rights_claim: None,
        user_must_match: false,
    }
}

fn claims() -> Value {
    json!({ "iss": "https://issuer.example", "aud": "mynah", "sub": "ada", "exp": NOW + 600 })
}

/// The claims with one set or, if it is null, taken away.
fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

fn at(seconds: u64) -> (TenantId, WallTime) {
    (TenantId::new(4), WallTime::from_unix_millis(seconds * 1_000))
}

fn keys(signers: &[&Signer]) -> KeySet {
    KeySet::from_jwks(jwks(signers).as_bytes()).unwrap()
}

fn verify(policy: &Policy, token: &str, keys: &KeySet) -> Result<Grant, TokenError> {
    policy.verify(token, None, keys, None, at(NOW))
}

/// What the policy makes of these claims in a token that is well signed.
fn judged(policy: &Policy, claims: &Value) -> Result<Grant, TokenError> {
    let signer = Signer::ed25519("k");
    verify(policy, &signer.token(Algorithm::EdDsa, claims), &keys(&[&signer]))
}

#[test]
fn a_token_by_each_algorithm_and_kind_of_key_is_taken() {
    let (rsa, p256, p384, ed25519) =
        (Signer::rsa("r"), Signer::p256("2"), Signer::p384("3"), Signer::ed25519("e"));
    let keys = keys(&[&rsa, &p256, &p384, &ed25519]);
    for algorithm in policy().algorithms {
        let signer = match algorithm {
            Algorithm::Es256 => &p256,
            Algorithm::Es384 => &p384,
            Algorithm::EdDsa => &ed25519,
            _ => &rsa,
        };
        let grant = verify(&policy(), &signer.token(algorithm, &claims()), &keys).unwrap();
        let end = WallTime::from_unix_millis((NOW + 630) * 1_000);
        let identity = Identity::user(TenantId::new(4), "ada");
        let expected = Grant { identity, groups: Vec::new(), rights: None, valid_until: Some(end) };
        assert_eq!(grant, expected, "{algorithm}");
        // A name of the key is not needed to find it.
        let nameless = signer.token_with(algorithm, &json!({ "alg": algorithm.name() }), &claims());
        assert!(verify(&policy(), &nameless, &keys).is_ok(), "{algorithm}");
    }
}

/// What the appendices of RFC 7515 sign.
const SIGNED: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

#[test]
fn the_examples_of_the_specifications_are_verified() {
    let ec = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
    let ed = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    let es256 = format!(
        "eyJhbGciOiJFUzI1NiJ9.{SIGNED}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    );
    let rs256 = format!(
        "eyJhbGciOiJSUzI1NiJ9.{SIGNED}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_l\
         F5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07\
         Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs9\
         8rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    );
    // RFC 8037 appendix A.4.
    let eddsa = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6\
                 dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let rsa = jwks(&[&Signer::rsa("a2")]);
    for (token, set) in [(es256.as_str(), ec), (&rs256, &rsa), (eddsa, ed)] {
        let jws = jws::Jws::parse(token).unwrap();
        let set = KeySet::from_jwks(set.as_bytes()).unwrap();
        let verified = |signed: &[u8]| set.verify(None, jws.algorithm, signed, &jws.signature);
        assert_eq!(verified(jws.signed), Ok(()), "{token}");
        assert_eq!(verified(&jws.signed[1..]), Err(TokenError::Signature), "{token}");
    }
    let secret = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    let secret = Secret::new(&jws::decode(secret).unwrap()).unwrap();
    let signed = format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{SIGNED}");
    let tag = jws::decode("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").unwrap();
    assert!(secret.verifies(signed.as_bytes(), &tag) && !secret.verifies(&signed.as_bytes()[1..], &tag));
    assert_eq!(format!("{secret:?}"), "Secret");
}

#[test]
fn a_token_without_a_signature_is_refused() {
    let signer = Signer::rsa("r");
    let keys = keys(&[&signer]);
    for name in ["none", "None", "NONE", "nOnE", "", "HS512"] {
        let token = unsigned(&json!({ "alg": name, "kid": "r" }), &claims()) + ".";
        assert_eq!(verify(&policy(), &token, &keys), Err(TokenError::Algorithm), "{name}");
    }
    let bare = unsigned(&json!({ "alg": "RS256", "kid": "r" }), &claims()) + ".";
    assert_eq!(verify(&policy(), &bare, &keys), Err(TokenError::Signature));
}

#[test]
fn a_public_key_is_never_a_secret() {
    let signer = Signer::rsa("r");
    let keys = keys(&[&signer]);
    let header = json!({ "alg": "HS256", "kid": "r" });
    let jwk = signer.jwk().to_string();
    let n = jws::decode(signer.jwk()["n"].as_str().unwrap()).unwrap();
    let open = Policy { algorithms: Algorithm::ALL.to_vec(), ..policy() };
    let another = Secret::new(&random_secret()).unwrap();
    for guess in [signer.public_bytes(), jwk.into_bytes(), n] {
        let token = with_secret(&guess, &header, &claims());
        assert_eq!(verify(&policy(), &token, &keys), Err(TokenError::Algorithm));
        assert_eq!(verify(&open, &token, &keys), Err(TokenError::UnknownKey), "HS256 without a secret");
        let judged = open.verify(&token, None, &keys, Some(&another), at(NOW));
        assert_eq!(judged, Err(TokenError::Signature));
    }
    // Nor does a set make a secret known.
    let secret = random_secret();
    let set = json!({ "keys": [{ "kty": "oct", "k": encode(secret), "kid": "r" }] }).to_string();
    assert_eq!(KeySet::from_jwks(set.as_bytes()), Err(KeySetError::NoKey));
    let token = with_secret(&secret, &header, &claims());
    let secret = Secret::new(&secret).unwrap();
    assert!(open.verify(&token, None, &keys, Some(&secret), at(NOW)).is_ok());
}

#[test]
fn a_key_serves_its_own_algorithms_only() {
    let (rsa, p256, ed25519) = (Signer::rsa("r"), Signer::p256("r"), Signer::ed25519("r"));
    for (signer, wrong) in [(&rsa, "ES256"), (&rsa, "EdDSA"), (&p256, "RS256"), (&ed25519, "ES384")] {
        let token = signer.token_with(Algorithm::Rs256, &json!({ "alg": wrong, "kid": "r" }), &claims());
        assert_eq!(verify(&policy(), &token, &keys(&[signer])), Err(TokenError::UnknownKey), "{wrong}");
    }
    // PKCS #1 v1.5 said to be PSS.
    let header = json!({ "alg": "PS256", "kid": "r" });
    let token = rsa.token_with(Algorithm::Rs256, &header, &claims());
    assert_eq!(verify(&policy(), &token, &keys(&[&rsa])), Err(TokenError::Signature));
    // A set may bind a key to one algorithm, and the configuration may allow fewer than it has keys for.
    let mut bound = rsa.jwk();
    bound["alg"] = "RS512".into();
    let bound = KeySet::from_jwks(json!({ "keys": [bound] }).to_string().as_bytes()).unwrap();
    assert!(verify(&policy(), &rsa.token(Algorithm::Rs512, &claims()), &bound).is_ok());
    let other = rsa.token(Algorithm::Rs256, &claims());
    assert_eq!(verify(&policy(), &other, &bound), Err(TokenError::UnknownKey));
    let narrow = Policy { algorithms: vec![Algorithm::Es256], ..policy() };
    assert_eq!(verify(&narrow, &other, &keys(&[&rsa])), Err(TokenError::Algorithm));
}

#[test]
fn what_was_changed_or_signed_by_another_is_refused() {
    let (signer, another) = (Signer::p256("k"), Signer::p256("k"));
    let (keys, token) = (keys(&[&signer]), signer.token(Algorithm::Es256, &claims()));
    assert_eq!(
        verify(&policy(), &another.token(Algorithm::Es256, &claims()), &keys),
        Err(TokenError::Signature)
    );
    let parts: Vec<&str> = token.split('.').collect();
    let forged = encode(claims_with("sub", "admin".into()).to_string());
    let swapped = format!("{}.{forged}.{}", parts[0], parts[2]);
    assert_eq!(verify(&policy(), &swapped, &keys), Err(TokenError::Signature));
    let stranger = Signer::p256("other");
    let strange = stranger.token(Algorithm::Es256, &claims());
    assert_eq!(verify(&policy(), &strange, &keys), Err(TokenError::UnknownKey));
    assert_eq!(verify(&policy(), &token, &KeySet::default()), Err(TokenError::UnknownKey));
    // A key that the token brings along is not looked at.
    let header = json!({ "alg": "ES256", "jwk": another.jwk(), "jku": "https://evil.example/jwks" });
    let brought = another.token_with(Algorithm::Es256, &header, &claims());
    assert_eq!(verify(&policy(), &brought, &keys), Err(TokenError::Signature));
    let critical = json!({ "alg": "ES256", "kid": "k", "crit": ["b64"], "b64": false });
    let critical = signer.token_with(Algorithm::Es256, &critical, &claims());
    assert_eq!(verify(&policy(), &critical, &keys), Err(TokenError::Critical));
}

#[test]
fn a_token_holds_from_its_beginning_to_its_end() {
    let signer = Signer::ed25519("k");
    let keys = keys(&[&signer]);
    let mut claims = claims();
    claims["nbf"] = (NOW - 100).into();
    let token = signer.token(Algorithm::EdDsa, &claims);
    for (seconds, expected) in [
        (NOW - 131, Some(TokenError::NotYetValid)),
        (NOW - 130, None),
        (NOW + 629, None),
        (NOW + 630, Some(TokenError::Expired)),
        (NOW + 10_000, Some(TokenError::Expired)),
    ] {
        let judged = policy().verify(&token, None, &keys, None, at(seconds));
        assert_eq!(judged.err(), expected, "{seconds}");
    }
    assert_eq!(judged(&policy(), &claims_with("exp", Value::Null)), Err(TokenError::Expired));
    assert!(judged(&policy(), &claims_with("exp", json!(1_800_000_000.5))).is_ok());
    for wrong in [json!("1800000600"), json!(-1), json!(1e300), json!([1])] {
        assert_eq!(judged(&policy(), &claims_with("exp", wrong.clone())), Err(TokenError::Claim), "{wrong}");
        assert_eq!(judged(&policy(), &claims_with("nbf", wrong.clone())), Err(TokenError::Claim), "{wrong}");
    }
}

#[test]
fn issuer_and_audience_are_exact() {
    for wrong in [Value::Null, json!("https://issuer.example/"), json!(["https://issuer.example"]), json!("")]
    {
        assert_eq!(judged(&policy(), &claims_with("iss", wrong.clone())), Err(TokenError::Issuer), "{wrong}");
    }
    for wrong in
        [Value::Null, json!("Mynah"), json!(""), json!([]), json!([["mynah"]]), json!({ "mynah": 1 })]
    {
        assert_eq!(
            judged(&policy(), &claims_with("aud", wrong.clone())),
            Err(TokenError::Audience),
            "{wrong}"
        );
    }
    assert!(judged(&policy(), &claims_with("aud", json!(["x", "broker"]))).is_ok());
}

#[test]
fn claims_become_identity_groups_tenant_and_rights() {
    let mut claims = claims();
    claims["preferred_username"] = "lovelace".into();
    claims["realm_access"] = json!({ "roles": ["engineers", "poets"] });
    claims["https://example.org/tenant"] = "7".into();
    claims["acl"] = json!({ "publish": ["engine/#"], "other": 1 });
    let policy = Policy {
        identity_claim: "preferred_username".into(),
        groups_claim: "realm_access.roles".into(),
        tenant_claim: Some("https://example.org/tenant".into()),
        rights_claim: Some("acl".into()),
        ..policy()
    };
    let grant = judged(&policy, &claims).unwrap();
    assert_eq!(grant.identity, Identity::user(TenantId::new(7), "lovelace"));
    assert_eq!(grant.groups, ["engineers".into(), "poets".into()]);
    let rights = TokenRights { publish: vec!["engine/#".to_owned()], subscribe: Vec::new() };
    assert_eq!(grant.rights, Some(rights));

    claims["acl"] = Value::Null;
    claims["realm_access"] = json!({ "roles": "poets" });
    assert_eq!(judged(&policy, &claims), Err(TokenError::Claim), "rights that are no object");
    claims.as_object_mut().unwrap().remove("acl");
    let grant = judged(&policy, &claims).unwrap();
    assert_eq!((grant.groups, grant.rights), (vec!["poets".into()], Some(TokenRights::default())));
    for (claim, wrong) in [
        ("preferred_username", json!("")),
        ("preferred_username", json!(5)),
        ("preferred_username", json!("a\nb")),
        ("preferred_username", json!("x".repeat(257))),
        ("https://example.org/tenant", json!(70_000)),
        ("https://example.org/tenant", json!("-1")),
        ("realm_access", json!({ "roles": [1] })),
        ("realm_access", json!({ "roles": vec!["g"; 257] })),
        ("acl", json!({ "publish": "engine/#" })),
        ("acl", json!({ "subscribe": [1] })),
    ] {
        let mut claims = claims.clone();
        claims[claim] = wrong;
        assert_eq!(judged(&policy, &claims), Err(TokenError::Claim), "{claims}");
    }
}

#[test]
fn a_user_name_has_to_match_if_that_is_wanted() {
    let signer = Signer::ed25519("k");
    let (keys, token) = (keys(&[&signer]), signer.token(Algorithm::EdDsa, &claims()));
    let judged = |user_must_match, user| {
        let policy = Policy { user_must_match, ..policy() };
        policy.verify(&token, user, &keys, None, at(NOW)).map(|grant| grant.identity.name().to_owned())
    };
    assert_eq!(judged(false, Some("admin")).as_deref(), Ok("ada"));
    assert_eq!(judged(true, Some("admin")), Err(TokenError::User));
    assert_eq!(judged(true, Some("ada")).as_deref(), Ok("ada"));
    assert_eq!(judged(true, None).as_deref(), Ok("ada"));
}

#[test]
fn a_set_may_hold_what_is_of_no_use_here() {
    let signer = Signer::p384("good");
    let mut set: Value = serde_json::from_str(&jwks(&[&signer])).unwrap();
    let keys = set["keys"].as_array_mut().unwrap();
    let mut small = Signer::rsa("small").jwk();
    small["n"] = encode([0xff; 128]).into();
    let mut encrypting = Signer::rsa("encrypting").jwk();
    encrypting["use"] = "enc".into();
    let mut signing = Signer::ed25519("signing").jwk();
    signing["key_ops"] = json!(["sign"]);
    let mut confused = Signer::p256("confused").jwk();
    confused["crv"] = "P-384".into();
    let mut none = Signer::p256("none").jwk();
    none["alg"] = "none".into();
    keys.extend([
        small,
        encrypting,
        signing,
        confused,
        none,
        json!(5),
        json!({ "kty": "OKP", "crv": "X25519" }),
    ]);
    let set = KeySet::from_jwks(set.to_string().as_bytes()).unwrap();
    assert_eq!(set.len(), 1);
    assert!(verify(&policy(), &signer.token(Algorithm::Es384, &claims()), &set).is_ok());
    for wrong in ["", "[]", "{}", "{\"keys\":{}}", "<html>"] {
        assert_eq!(KeySet::from_jwks(wrong.as_bytes()), Err(KeySetError::Malformed), "{wrong}");
    }
    assert_eq!(KeySet::from_jwks(b"{\"keys\":[]}"), Err(KeySetError::NoKey));
    let crowd = json!({ "keys": vec![signer.jwk(); 100] }).to_string();
    assert_eq!(KeySet::from_jwks(crowd.as_bytes()).unwrap().len(), 64);
}

/// Made by `openssl genpkey` and `openssl pkey -pubout`.
const PEM: &str = "\
-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAwwNmdKt+JNpUqFIck31WJlFIJGjOAi3wrNneZBLJ3/c=
-----END PUBLIC KEY-----
-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE9fskpGyktgjfp8aNKKu1WnHE1pEt
k4TOc6tC7p/UtWDfjc0qfOXlhUtxhnSFFLDJp2v1UsW8GMt1o72OM4yfZg==
-----END PUBLIC KEY-----
";

#[test]
fn public_keys_are_read_from_pem() {
    let rsa = Signer::rsa("r");
    let info = [
        &[0x30, 0x82, 0x01, 0x22, 0x30, 0x0d, 0x06, 0x09][..],
        &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00, 0x03, 0x82, 0x01, 0x0f, 0x00],
        &rsa.public_bytes(),
    ];
    use base64::Engine;
    let body = base64::engine::general_purpose::STANDARD.encode(info.concat());
    let text = format!("{PEM}-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
    let keys = KeySet::from_file(text.as_bytes()).unwrap();
    assert_eq!(keys.len(), 3);
    let token = rsa.token(Algorithm::Ps384, &claims());
    assert!(verify(&policy(), &token, &keys).is_ok(), "whatever name the token gives its key");
    let strange = Signer::ed25519("e").token(Algorithm::EdDsa, &claims());
    assert_eq!(verify(&policy(), &strange, &keys), Err(TokenError::Signature));

    let private = text.replace("PUBLIC", "PRIVATE");
    assert_eq!(KeySet::from_file(private.as_bytes()), Err(KeySetError::Private));
    let cut = text.replace(&body, &body[..80]);
    assert_eq!(KeySet::from_file(cut.as_bytes()), Err(KeySetError::NoKey));
    for wrong in ["", "secret", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert_eq!(KeySet::from_file(wrong.as_bytes()), Err(KeySetError::Malformed), "{wrong}");
    }
}

#[test]
fn a_password_that_is_meant_as_a_token_is_known_by_its_form() {
    let token = Signer::ed25519("k").token(Algorithm::EdDsa, &claims());
    assert!(looks_like_token(token.as_bytes()));
    let long = format!("eyJ{}.a.b", "x".repeat(TOKEN_BYTES_MAX));
    for other in ["", "secret", "eyJ", "a.b.c", "eyJ.a.b.c", "eyJ a.b.c", &token[1..], &long] {
        assert!(!looks_like_token(other.as_bytes()), "{other:.20}");
    }
}

#[test]
fn a_short_secret_and_a_small_modulus_are_refused() {
    assert!(Secret::new(&[0; 31]).is_none() && Secret::new(&[0; 32]).is_some());
    let rsa = |bytes: &[u8]| PublicKey::rsa(bytes, &[1, 0, 1]);
    assert!(rsa(&[0x7f; 256]).is_none() && rsa(&[0x80; 256]).is_some());
    assert!(rsa(&[]).is_none() && rsa(&[0xff; 1_025]).is_none());
    assert!(rsa(&[&[0][..], &[0x80; 256]].concat()).is_some(), "a leading zero of DER");
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_stumble(text in "[eyJ.A-Za-z0-9_=-]{0,200}", bytes: Vec<u8>) {
        let signer = Signer::ed25519("k");
        prop_assert!(verify(&policy(), &text, &keys(&[&signer])).is_err());
        let _ = KeySet::from_file(&bytes);
        let _ = looks_like_token(&bytes);
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &bytes)
        );
        prop_assert!(KeySet::from_file(pem.as_bytes()).is_err());
    }

    #[test]
    fn a_bit_that_flips_spoils_a_token(at in 0_usize..1_000, bit in 0_u8..7) {
        let signer = Signer::ed25519("k");
        let token = signer.token(Algorithm::EdDsa, &claims());
        let at = at % token.len();
        let mut bytes = token.clone().into_bytes();
        bytes[at] ^= 1 << bit;
        let Ok(changed) = String::from_utf8(bytes) else { return Ok(()) };
        prop_assert!(verify(&policy(), &changed, &keys(&[&signer])).is_err());
    }
}
