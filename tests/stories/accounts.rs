//! People come in: an invitation and a forgotten password, by the mails that leave for them.

use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::salesos::{Api, Dev, Folder, until};

const SOON: Duration = Duration::from_secs(30);

/// The tokens of the links that were mailed to an address, oldest first.
fn links(folder: &Folder, address: &str) -> Vec<String> {
    let mut files = Vec::new();
    for mailbox in fs::read_dir(folder.data().join("mail")).into_iter().flatten() {
        files.extend(
            fs::read_dir(mailbox.unwrap().path()).unwrap().map(|file| file.unwrap().path()),
        );
    }
    files.sort_by_key(|file| fs::metadata(file).and_then(|about| about.modified()).unwrap());
    let texts = files.iter().filter_map(|file| fs::read_to_string(file).ok());
    texts
        .filter(|text| text.contains(address))
        // Quoted-printable breaks a long line by `=` at its end, and writes `=` itself as `=3D`.
        .map(|text| text.replace("=\r\n", "").replace("=3D", "="))
        .filter_map(|text| {
            let (_, rest) = text.split_once("/password?token=")?;
            Some(rest.split_whitespace().next()?.to_owned())
        })
        .collect()
}

async fn login(api: &Api, email: &str, password: &str) -> u16 {
    let body = json!({ "email": email, "password": password });
    api.post("/api/v1/auth/login", body).await.status
}

/// Sets a password by a link, as soon as that is good: its mail leaves before what it tells of is recorded.
async fn reset(api: &Api, token: &str, password: &str) {
    let body = json!({ "token": token, "password": password });
    until("a link that is good", SOON, || async {
        let reply = api.post("/api/v1/auth/password/reset", body.clone()).await;
        (reply.status == 204).then_some(())
    })
    .await;
}

/// The n-th link that was mailed to an address.
async fn link(folder: &Folder, address: &str, n: usize) -> String {
    until("a mail with a link", SOON, || async { links(folder, address).get(n).cloned() }).await
}

#[tokio::test]
async fn who_is_invited_sets_a_password_and_who_forgot_it_sets_another() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &[]).await;
    let mut api = dev.api().await;
    let ann = json!({ "email": "ann@acme.example", "password": "correct horse", "name": "Ann", "company": "Acme" });
    let session = api.post("/api/v1/auth/signup", ann).await.with(201);
    api.sign_in(&session);
    let ben = "ben@acme.example";
    let invited = json!({ "email": ben, "name": "Ben", "role": "rep" });
    let made = api.post("/api/v1/users", invited).await.with(201);
    assert_eq!((&made["role"], &made["active"]), (&json!("rep"), &json!(true)));
    assert_eq!(login(&api, ben, "").await, 401);

    let first = link(&folder, ben, 0).await;
    reset(&api, &first, "a first password").await;
    let again = json!({ "token": first, "password": "a second use of it" });
    api.post("/api/v1/auth/password/reset", again).await.with(401);
    assert_eq!(login(&api, ben, "a first password").await, 200);

    let forgot = json!({ "email": ben });
    api.post("/api/v1/auth/password/forgot", forgot).await.with(202);
    let second = link(&folder, ben, 1).await;
    reset(&api, &second, "another password").await;
    assert_eq!(login(&api, ben, "a first password").await, 401);
    assert_eq!(login(&api, ben, "another password").await, 200);
    // The link stands nowhere but in the mail.
    let kept: i64 = sqlx::query_scalar(
        "select count(*) from engine.history where data::text like '%' || $1 || '%'",
    )
    .bind(&second)
    .fetch_one(&dev.db)
    .await
    .unwrap();
    assert_eq!(kept, 0);
    assert_eq!(dev.errors(), Vec::<String>::new());
    dev.interrupt().await;
}
