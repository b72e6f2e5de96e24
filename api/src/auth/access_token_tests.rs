//! Tokens that are good, and all the ways of those that are not.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::DateTime;
use jsonwebtoken::EncodingKey;
use ring::rand::SystemRandom;
use ring::signature::Ed25519KeyPair;

use super::*;

const SECRET: &str = "one secret of thirty-two letters";

fn user() -> User {
    User {
        customer_id: Uuid::from_u128(1),
        id: Uuid::from_u128(2),
        email: "ann@example.com".into(),
        name: "Ann".into(),
        role: "rep".into(),
        team_id: Some(Uuid::from_u128(9)),
        active: true,
        created_at: DateTime::UNIX_EPOCH,
        updated_at: DateTime::UNIX_EPOCH,
    }
}

fn tokens(secrets: &[&str]) -> Tokens {
    Tokens::new(Arc::new(Keys::secrets(secrets).unwrap()), 60)
}

/// A private key as PEM.
fn pem() -> String {
    let der = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let text = base64::engine::general_purpose::STANDARD.encode(der.as_ref());
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}

/// A good token's claims, changed, under a key of ours.
fn forged(change: impl FnOnce(&mut Claims)) -> String {
    let good = tokens(&[SECRET]).issue(&user(), Uuid::from_u128(3));
    let claims = good.split('.').nth(1).unwrap();
    let mut claims: Claims =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    change(&mut claims);
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

#[test]
fn a_token_is_read_under_its_own_key_only() {
    let tokens = tokens(&[SECRET]);
    let token = tokens.issue(&user(), Uuid::from_u128(3));
    let caller = tokens.read(&token).unwrap();
    let user = caller.user().unwrap();
    assert_eq!((caller.customer_id, user.user_id), (Some(Uuid::from_u128(1)), Uuid::from_u128(2)));
    assert_eq!((user.role, user.team_id), (Role::Rep, Some(Uuid::from_u128(9))));
    assert!(super::tests::tokens(&["another secret as long as the first"]).read(&token).is_err());
    assert!(tokens.read(&format!("{token}x")).is_err());
}

#[test]
fn a_key_can_be_changed_while_tokens_of_the_one_before_are_about() {
    let old = "the secret of last year as long as it";
    let before = tokens(&[old]).issue(&user(), Uuid::from_u128(3));
    let both = tokens(&[SECRET, old]);
    assert!(both.read(&before).is_ok());
    let after = both.issue(&user(), Uuid::from_u128(3));
    assert!(tokens(&[SECRET]).read(&after).is_ok() && tokens(&[old]).read(&after).is_err());
}

#[test]
fn a_private_key_signs_and_shows_its_public_part_alone() {
    let (new, old) = (pem(), pem());
    let before =
        Tokens::new(Arc::new(Keys::private(&old).unwrap()), 60).issue(&user(), Uuid::nil());
    let tokens = Tokens::new(Arc::new(Keys::private(&format!("{new}{old}")).unwrap()), 60);
    let token = tokens.issue(&user(), Uuid::nil());
    assert!(tokens.read(&token).is_ok() && tokens.read(&before).is_ok());
    let shown = tokens.keys().public();
    let header = decode_header(&token).unwrap();
    assert_eq!(header.alg, Algorithm::EdDSA);
    assert_eq!(shown["keys"][0]["kid"], header.kid.unwrap());
    assert_eq!(shown["keys"].as_array().unwrap().len(), 2);
    assert!(shown["keys"][0].get("d").is_none(), "{shown}");
    // Signed by the public part, as if that were a secret.
    let public = URL_SAFE_NO_PAD.decode(shown["keys"][0]["x"].as_str().unwrap()).unwrap();
    let claims: Claims = {
        let part = token.split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    for kid in [None, Some(shown["keys"][0]["kid"].as_str().unwrap().to_owned())] {
        let header = Header { kid, ..Header::new(Algorithm::HS256) };
        let confused = encode(&header, &claims, &EncodingKey::from_secret(&public)).unwrap();
        assert!(tokens.read(&confused).is_err());
    }
}

#[test]
fn whatever_is_wrong_with_a_token_it_is_refused_alike() {
    let now = get_current_timestamp();
    let good = tokens(&[SECRET]).issue(&user(), Uuid::from_u128(3));
    let claims = good.split('.').nth(1).unwrap();
    // {"alg":"none","typ":"JWT"}
    let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.");
    let bad = [
        unsigned,
        forged(|claims| claims.aud = "another".into()),
        forged(|claims| claims.iss = "another".into()),
        forged(|claims| claims.exp = now - 61),
        forged(|claims| claims.nbf = now + 120),
        forged(|claims| claims.sub = "usr_nobody".into()),
        "no token".into(),
        String::new(),
    ];
    let read = |token: &str| tokens(&[SECRET]).read(token).map(|_| ());
    for token in &bad {
        let body = read(token).unwrap_err().body("req_1");
        let first = read(&bad[0]).unwrap_err().body("req_1");
        assert_eq!(String::from_utf8(body), String::from_utf8(first), "{token}");
    }
    assert!(read(&forged(|claims| claims.exp = now - 30)).is_ok(), "within the leeway");
}

#[test]
fn what_is_no_key_is_refused_with_what_to_write() {
    let refused = |keys: Result<Keys, String>| keys.map(|_| ()).unwrap_err();
    assert!(refused(Keys::secrets(&["short"])).contains("at least 32"));
    assert!(refused(Keys::secrets(&[])).contains("no key"));
    assert!(refused(Keys::private("nothing")).contains("no key"));
    let broken = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----";
    assert!(refused(Keys::private(broken)).contains("openssl genpkey"));
}
