//! What a service believes, and each thing that it refuses.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use axum::http::Request;

use super::*;
use crate::auth::crypto;

const PATH: &str = "/api/v1/contacts/con_1";

fn secret(letter: char) -> InternalSecret {
    InternalSecret::parse(&String::from(letter).repeat(FEWEST_BYTES)).unwrap()
}

fn signer() -> Signer {
    // The tokens of users install what signs.
    crypto::install();
    Signer::new(&secret('a'))
}

fn reader() -> Reader {
    Reader::new(&secret('a'), Service::Crm)
}

fn asker(principal: Principal) -> Asker {
    Asker::of(Uuid::from_u128(1), principal)
}

fn user() -> Asker {
    asker(Principal::User(LoggedIn {
        user_id: Uuid::from_u128(2),
        role: Role::Rep,
        team_id: Some(Uuid::from_u128(3)),
        login: Uuid::from_u128(4),
    }))
}

fn parts(method: Method, path: &str, contexts: &[&str]) -> Parts {
    let mut request = Request::builder().method(method).uri(path);
    for context in contexts {
        request = request.header(CONTEXT, *context);
    }
    request.body(()).unwrap().into_parts().0
}

fn context(service: Service) -> String {
    let value = signer().sign(&user(), service, &Method::GET, PATH);
    value.to_str().unwrap().to_owned()
}

fn is_refused(contexts: &[&str]) -> bool {
    reader().asker(&parts(Method::GET, PATH, contexts)).is_err()
}

#[test]
fn a_service_knows_a_user_as_the_gateway_does() {
    let read = reader().asker(&parts(Method::GET, PATH, &[&context(Service::Crm)])).unwrap();
    assert_eq!(read.customer_id, Some(Uuid::from_u128(1)));
    assert_eq!(read.user().unwrap(), user().user().unwrap());
}

#[test]
fn a_service_knows_a_key_with_its_scopes() {
    let scopes = vec!["contacts:read".to_owned()];
    let key = asker(Principal::Key { key_id: Uuid::from_u128(5), scopes: scopes.clone() });
    let value = signer().sign(&key, Service::Crm, &Method::POST, PATH);
    let read = reader().asker(&parts(Method::POST, PATH, &[value.to_str().unwrap()])).unwrap();
    let Principal::Key { key_id, scopes: read } = read.principal else { panic!("a key it was") };
    assert_eq!((key_id, read), (Uuid::from_u128(5), scopes));
}

#[test]
fn a_missing_a_plain_and_a_doubled_context_is_refused() {
    let good = context(Service::Crm);
    assert!(is_refused(&[]));
    assert!(is_refused(&["cus_00000000000000000000000001"]));
    assert!(is_refused(&[r#"{"customer_id":"cus_1","role":"owner"}"#]));
    assert!(is_refused(&[&good, &good]));
    assert!(is_refused(&[&format!("{good}x")]));
    // {"alg":"none","typ":"JWT"}
    let claims = good.split('.').nth(1).unwrap();
    assert!(is_refused(&[&format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.")]));
}

#[test]
fn a_context_for_another_service_or_of_another_secret_is_refused() {
    assert!(is_refused(&[&context(Service::Ops)]));
    let others = Signer::new(&secret('b')).sign(&user(), Service::Crm, &Method::GET, PATH);
    assert!(is_refused(&[others.to_str().unwrap()]));
}

#[test]
fn a_context_of_another_request_is_refused() {
    let good = context(Service::Crm);
    assert!(reader().asker(&parts(Method::DELETE, PATH, &[&good])).is_err());
    assert!(reader().asker(&parts(Method::GET, "/api/v1/contacts/con_2", &[&good])).is_err());
    // The query is no part of what it is bound to, as in RFC 9449.
    let path = format!("{PATH}?limit=1");
    assert!(reader().asker(&parts(Method::GET, &path, &[&good])).is_ok());
}

#[test]
fn an_expired_context_and_one_of_another_issuer_is_refused() {
    let claims = |iss: &str, exp: u64| Claims {
        iss: iss.into(),
        aud: "crm".into(),
        iat: 0,
        exp,
        htm: "GET".into(),
        htu: PATH.into(),
        cus: Some(id::show("cus", Uuid::from_u128(1))),
        party: (&user().principal).into(),
    };
    let (signer, now) = (signer(), get_current_timestamp());
    assert!(!is_refused(&[&signer.encode(&claims(ISSUER, now + 5))]));
    assert!(is_refused(&[&signer.encode(&claims(ISSUER, now - LEEWAY_SECONDS - 2))]));
    assert!(is_refused(&[&signer.encode(&claims("salesos", now + 5))]));
}

#[test]
fn a_short_secret_is_refused_and_none_is_ever_shown() {
    let refused = InternalSecret::parse("short").unwrap_err();
    assert_eq!(refused, "has 5 characters; write at least 32");
    assert_eq!(format!("{:?}", secret('a')), "InternalSecret(32 bytes)");
}
