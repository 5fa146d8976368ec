//! Claims in, callers or refusals out, as text.

use danmu_schemas::{Role, RoomId};
use expect_test::{Expect, expect};
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::*;

const NOW_S: i64 = 1_763_950_000;
const NOW_MS: i64 = NOW_S * 1_000;
const SECRET: &str = "a secret of at least thirty-two bytes";
const OLD_SECRET: &str = "the secret before it, of as many bytes";

fn secrets() -> Identity {
    Identity::of_secrets(&Secrets {
        current: SECRET.into(),
        previous: Some(OLD_SECRET.into()),
    })
}

fn sign(header: &Header, key: &EncodingKey, claims: &Value) -> String {
    encode(header, claims, key).expect("a key for the algorithm")
}

fn hs256(secret: &str, claims: &Value) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    sign(&Header::new(Algorithm::HS256), &key, claims)
}

/// Claims that are good for a minute, with `more` in them.
fn claims(more: Value) -> Value {
    let mut claims = json!({"sub": "u1", "exp": NOW_S + 60});
    let Value::Object(more) = more else {
        panic!("claims are an object")
    };
    claims.as_object_mut().expect("an object").extend(more);
    claims
}

/// Who a token proves to be, in a line.
fn told(identity: &Identity, token: &str) -> String {
    match identity.caller(token, NOW_MS) {
        Err(bad) => bad.to_string(),
        Ok(caller) => {
            let user = caller.user.expect("a token has a subject");
            let rooms = caller.rooms.map_or("every room".to_owned(), |rooms| {
                let names: Vec<_> = rooms.iter().map(RoomId::as_str).collect();
                format!("[{}]", names.join(" "))
            });
            let role = caller.roles[0];
            format!("{role} {}/{} {:?} in {rooms}", user.id, user.name, user.ext)
        }
    }
}

fn check(table: &[Value], expected: Expect) {
    let identity = secrets();
    let lines: Vec<_> = table
        .iter()
        .map(|claims| told(&identity, &hs256(SECRET, claims)))
        .collect();
    expected.assert_eq(&lines.join("\n"));
}

#[test]
fn claims_become_a_caller() {
    check(
        &[
            claims(json!({})),
            claims(json!({"name": "Ann", "ext": {"b": "2", "a": "1"}, "role": "host"})),
            claims(json!({"role": "moderator", "rooms": ["r1", "r2"]})),
            claims(json!({"role": "backend", "rooms": []})),
            claims(json!({"role": "operator", "aud": "elsewhere", "more": {"x": 1}})),
        ],
        expect![[r#"
            viewer u1/ [] in every room
            host u1/Ann [("a", "1"), ("b", "2")] in every room
            moderator u1/ [] in [r1 r2]
            backend u1/ [] in []
            operator u1/ [] in every room"#]],
    );
}

#[test]
fn claims_keep_to_the_limits_of_what_they_become() {
    check(
        &[
            json!({"exp": NOW_S + 60}),
            json!({"sub": "u1"}),
            claims(json!({"sub": ""})),
            claims(json!({"sub": "s".repeat(65)})),
            claims(json!({"sub": "a\nb"})),
            claims(json!({"sub": 7})),
            claims(json!({"name": "n".repeat(65), "ext": {"k": 1}, "role": "king"})),
            claims(json!({"rooms": "r1"})),
            claims(json!({"rooms": ["r1", "../r2"]})),
            claims(json!({"exp": "soon"})),
        ],
        expect![[r#"
            the token is not valid: sub is missing
            the token is not valid: exp is missing
            the token is not valid: sub is empty
            the token is not valid: sub is longer than 64 bytes
            the token is not valid: sub holds a control character
            the token is not valid: sub is not a string
            the token is not valid: role is not a word that is known here, name is longer than 64 characters, ext holds a value that is not a string
            the token is not valid: rooms is not a list
            the token is not valid: rooms holds what does not belong there
            the token is not valid: exp is no number of seconds since 1970"#]],
    );
}

#[test]
fn times_have_a_leeway() {
    let leeway_s = LEEWAY_MS / 1_000;
    check(
        &[
            json!({"sub": "u1", "exp": NOW_S - leeway_s}),
            json!({"sub": "u1", "exp": NOW_S - leeway_s + 1}),
            json!({"sub": "u1", "exp": NOW_S as f64 - leeway_s as f64 + 0.5}),
            claims(json!({"nbf": NOW_S + leeway_s + 1})),
            claims(json!({"nbf": NOW_S + leeway_s})),
        ],
        expect![[r#"
            the token has expired
            viewer u1/ [] in every room
            viewer u1/ [] in every room
            the token is not valid: it is not in force yet
            viewer u1/ [] in every room"#]],
    );
}

#[test]
fn an_issued_token_is_a_backend_until_it_expires() {
    let secrets = Secrets {
        current: SECRET.into(),
        previous: None,
    };
    let token = secrets.backend_token("crew", NOW_MS / 1_000 + 60);
    let identity = Identity::of_secrets(&secrets);
    let caller = identity.caller(&token, NOW_MS).unwrap();
    assert_eq!(caller.roles, [Role::Backend]);
    assert_eq!(caller.user.unwrap().id, "crew");
    assert_eq!(caller.rooms, None);
    let expired = identity.caller(&token, NOW_MS + 60_000 + LEEWAY_MS);
    assert_eq!(expired, Err(BadToken::Expired));
}

#[test]
fn a_token_of_either_secret_counts_and_no_other() {
    let identity = secrets();
    let is_good = |secret: &str| identity.caller(&hs256(secret, &claims(json!({}))), NOW_MS);
    assert!(is_good(SECRET).is_ok());
    assert!(is_good(OLD_SECRET).is_ok());
    assert!(is_good("another secret of at least thirty-two").is_err());
    let rotated = Identity::of_secrets(&Secrets {
        current: SECRET.into(),
        previous: None,
    });
    let old = hs256(OLD_SECRET, &claims(json!({})));
    assert!(rotated.caller(&old, NOW_MS).is_err());
}

#[test]
fn what_is_no_signed_token_proves_nothing() {
    let identity = secrets();
    let good = hs256(SECRET, &claims(json!({})));
    let (head, signature) = good.rsplit_once('.').expect("three parts");
    let (_, payload) = head.split_once('.').expect("three parts");
    let part = |json: &str| {
        let encoded = hs256(SECRET, &serde_json::from_str(json).expect("JSON"));
        encoded.split('.').nth(1).expect("three parts").to_owned()
    };
    let unsigned = part(r#"{"alg":"none","typ":"JWT"}"#);
    let critical = part(r#"{"alg":"HS256","crit":["x"],"x":1}"#);
    let raised = part(&claims(json!({"role": "backend"})).to_string());
    let header = good.split('.').next().expect("three parts");
    let tokens = [
        String::new(),
        "x".to_owned(),
        "..".to_owned(),
        format!("{unsigned}.{payload}."),
        format!("{unsigned}.{payload}.{signature}"),
        format!("{critical}.{payload}.{signature}"),
        format!("{header}.{raised}.{signature}"),
        format!("{head}."),
        format!("{good}.{good}"),
        format!("{good}{}", "x".repeat(TOKEN_BYTES_MAX)),
    ];
    let lines: Vec<_> = tokens.iter().map(|token| told(&identity, token)).collect();
    expect![[r#"
        the token is not valid: it is no signed JWT
        the token is not valid: it is no signed JWT
        the token is not valid: it is no signed JWT
        the token is not valid: it is no signed JWT
        the token is not valid: it is no signed JWT
        the token is not valid: it has critical extensions
        the token is not valid: no key of this server signed it
        the token is not valid: no key of this server signed it
        the token is not valid: it is no signed JWT
        the token is not valid: it is too long"#]]
    .assert_eq(&lines.join("\n"));
    let other = Header::new(Algorithm::HS512);
    let stronger = sign(
        &other,
        &EncodingKey::from_secret(SECRET.as_bytes()),
        &claims(json!({})),
    );
    assert!(identity.caller(&stronger, NOW_MS).is_err());
}

/// A private key for each algorithm that a set may hold.
fn private_keys() -> [(Algorithm, EncodingKey); 3] {
    const ED25519: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";
    const P256: &[u8] = b"\x30\x41\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\
        \x2a\x86\x48\xce\x3d\x03\x01\x07\x04\x27\x30\x25\x02\x01\x01\x04\x20";
    let of_seed = |prefix: &[u8]| [prefix, &[7; 32]].concat();
    [
        (
            Algorithm::RS256,
            EncodingKey::from_rsa_der(include_bytes!("tests/rsa.der")),
        ),
        (Algorithm::ES256, EncodingKey::from_ec_der(&of_seed(P256))),
        (
            Algorithm::EdDSA,
            EncodingKey::from_ed_der(&of_seed(ED25519)),
        ),
    ]
}

fn key_set() -> (JwkSet, Vec<(Header, EncodingKey)>) {
    let mut set = JwkSet { keys: Vec::new() };
    let mut signers = Vec::new();
    for (n, (algorithm, key)) in private_keys().into_iter().enumerate() {
        let mut jwk = Jwk::from_encoding_key(&key, algorithm).expect("a public part");
        jwk.common.key_id = Some(format!("k{n}"));
        set.keys.push(jwk);
        let mut header = Header::new(algorithm);
        header.kid = Some(format!("k{n}"));
        signers.push((header, key));
    }
    (set, signers)
}

fn json_of(set: &JwkSet) -> Vec<u8> {
    serde_json::to_vec(set).expect("JSON")
}

#[test]
fn a_key_set_takes_tokens_of_its_keys() {
    let (set, signers) = key_set();
    let identity = Identity::of_key_set(&json_of(&set)).expect("a key set");
    for (mut header, key) in signers {
        let signed = |header: &Header| sign(header, &key, &claims(json!({})));
        assert!(
            identity.caller(&signed(&header), NOW_MS).is_ok(),
            "{header:?}"
        );
        header.kid = Some("another".to_owned());
        assert!(
            identity.caller(&signed(&header), NOW_MS).is_err(),
            "{header:?}"
        );
        header.kid = None;
        assert!(
            identity.caller(&signed(&header), NOW_MS).is_ok(),
            "{header:?}"
        );
    }
    assert!(
        identity
            .caller(&hs256(SECRET, &claims(json!({}))), NOW_MS)
            .is_err()
    );
}

#[test]
fn a_public_key_is_no_secret() {
    let (set, _) = key_set();
    let identity = Identity::of_key_set(&json_of(&set)).expect("a key set");
    let json = serde_json::to_value(&set).expect("JSON");
    for (n, part) in [(0, "n"), (1, "x"), (2, "x")] {
        let public = json["keys"][n][part].as_str().expect("a public part");
        for secret in [public.as_bytes(), &json_of(&set)] {
            let mut header = Header::new(Algorithm::HS256);
            header.kid = Some(format!("k{n}"));
            let forged = sign(
                &header,
                &EncodingKey::from_secret(secret),
                &claims(json!({})),
            );
            assert!(identity.caller(&forged, NOW_MS).is_err());
        }
    }
}

#[test]
fn a_key_set_is_replaced_whole_or_not_at_all() {
    let (mut set, signers) = key_set();
    let identity = Identity::of_key_set(&json_of(&set)).expect("a key set");
    let (header, key) = &signers[0];
    let token = sign(header, key, &claims(json!({})));
    assert!(identity.replace_key_set(b"{").is_err());
    assert!(identity.caller(&token, NOW_MS).is_ok());
    set.keys.remove(0);
    identity.replace_key_set(&json_of(&set)).expect("a key set");
    assert!(identity.caller(&token, NOW_MS).is_err());
}

#[test]
fn a_key_set_holds_public_keys_alone() {
    let of = |json: Value| match Identity::of_key_set(json.to_string().as_bytes()) {
        Ok(_) => "taken".to_owned(),
        Err(error) => error.to_string(),
    };
    let (set, _) = key_set();
    let mut mislabelled = serde_json::to_value(&set).expect("JSON");
    mislabelled["keys"][1]["alg"] = json!("RS256");
    let many = vec![serde_json::to_value(&set.keys[0]).expect("JSON"); 17];
    let table = [
        of(json!({})),
        of(json!({"keys": []})),
        of(json!({ "keys": many })),
        of(json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]})),
        of(mislabelled),
        of(serde_json::to_value(&set).expect("JSON")),
    ];
    expect![[r#"
        it is no JWK set
        it has 0 keys, not 1 to 16
        it has 17 keys, not 1 to 16
        key 0 is no public key for RS256, ES256, ES384 or EdDSA
        key 1 is no public key for RS256, ES256, ES384 or EdDSA
        taken"#]]
    .assert_eq(&table.join("\n"));
}
