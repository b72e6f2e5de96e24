//! A customer's system is told of events: signed, tried again until it takes them, and once more when somebody asks.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::salesos::{Api, Dev, Folder, Receiver, until};

const SOON: Duration = Duration::from_secs(60);

async fn sign_up(dev: &mut Dev) -> Api {
    let mut api = dev.api().await;
    let ann = json!({ "email": "ann@acme.example", "password": "correct horse", "name": "Ann", "company": "Acme" });
    let session = api.post("/api/v1/auth/signup", ann).await.with(201);
    api.sign_in(&session);
    api
}

/// The newest delivery, once it has ended so.
async fn ended(api: &Api, status: &str) -> Value {
    until(&format!("a delivery to be {status}"), SOON, || async {
        let page = api.get("/api/v1/webhooks/deliveries?limit=1").await.with(200);
        (page["data"][0]["status"] == status).then(|| page["data"][0].clone())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customers_system_is_told_until_it_takes_it_and_again_when_asked() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &["--time-scale", "60"]).await;
    let api = sign_up(&mut dev).await;
    let receiver = Receiver::open(&[500, 503, 200]).await;
    let hook = json!({ "url": receiver.url, "events": ["contact.created"] });
    let made = api.post("/api/v1/webhooks", hook).await.with(201);
    let secret = made["secret"].as_str().unwrap();
    let path = format!("/api/v1/webhooks/{}", made["id"].as_str().unwrap());
    assert!(api.get(&path).await.with(200)["secret"].is_null(), "it is shown once");
    let kept: Vec<u8> =
        sqlx::query_scalar("select secret from webhooks").fetch_one(&dev.db).await.unwrap();
    let plain = STANDARD.decode(&secret[6..]).unwrap();
    assert!(!kept.windows(plain.len()).any(|part| part == plain), "it is sealed");

    let eve = api.post("/api/v1/contacts", json!({ "email": "eve@lead.example" })).await.with(201);
    let came = receiver.came(3).await;
    let delivery = ended(&api, "delivered").await;
    assert_eq!((&delivery["attempts"], &delivery["response_status"]), (&json!(3), &json!(200)));
    assert!(
        came.iter().all(|came| came.id == delivery["event_id"] && came.is_signed_by(secret)),
        "{came:?}"
    );
    assert!(
        came.iter().all(|one| one.body == came[0].body),
        "an attempt says what the one before said"
    );
    let told = came[0].told();
    assert_eq!(
        (&told["type"], &told["data"]["contact_id"]),
        (&json!("contact.created"), &eve["id"])
    );
    let one = format!("/api/v1/webhooks/deliveries/{}", delivery["id"].as_str().unwrap());
    let whole = api.get(&one).await.with(200);
    let reasons: Vec<&Value> =
        whole["failures"].as_array().unwrap().iter().map(|failure| &failure["reason"]).collect();
    assert_eq!(
        reasons,
        ["it answered 500 Internal Server Error", "it answered 503 Service Unavailable"]
    );

    // Under another secret, and for a day under the one before as well.
    let rotated = api.post(&format!("{path}/secret"), Value::Null).await.with(200);
    api.post(&format!("{one}/redeliver"), Value::Null).await.with(202);
    let again = receiver.came(4).await.pop().unwrap();
    assert_eq!((&again.id, &again.body), (&came[0].id, &came[0].body));
    assert!(again.is_signed_by(secret) && again.is_signed_by(rotated["secret"].as_str().unwrap()));
    ended(&api, "delivered").await;
    assert_eq!(dev.errors(), Vec::<String>::new());
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_paused_it_or_is_gone_is_not_told() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &["--time-scale", "60"]).await;
    let api = sign_up(&mut dev).await;
    let receiver = Receiver::open(&[200]).await;
    let hook = json!({ "url": receiver.url, "events": ["contact.created"] });
    let made = api.post("/api/v1/webhooks", hook).await.with(201);
    let path = format!("/api/v1/webhooks/{}", made["id"].as_str().unwrap());
    let patch = |body: Value| {
        let (api, path) = (&api, &path);
        async move { api.patch(path, body).await.with(200) }
    };
    patch(json!({ "status": "paused" })).await;
    api.post("/api/v1/contacts", json!({ "email": "bob@lead.example" })).await.with(201);
    api.post(&format!("{path}/test"), Value::Null).await.with(409);
    patch(json!({ "status": "active" })).await;
    api.post(&format!("{path}/test"), Value::Null).await.with(202);
    let test = receiver.came(1).await.pop().unwrap();
    assert_eq!(test.told()["type"], "webhook.test");
    let delivery = ended(&api, "delivered").await;

    receiver.answer(410);
    api.post("/api/v1/contacts", json!({ "email": "cy@lead.example" })).await.with(201);
    ended(&api, "failed").await;
    let gone = api.get(&path).await.with(200);
    assert_eq!(
        (&gone["status"], &gone["status_reason"]),
        (&json!("disabled"), &json!("it answered 410: it is gone"))
    );
    let again =
        format!("/api/v1/webhooks/deliveries/{}/redeliver", delivery["id"].as_str().unwrap());
    let refused = api.post(&again, Value::Null).await.with(409);
    assert_eq!(refused["detail"], "its webhook is not active; make it active first");
    assert_eq!(receiver.came(2).await.len(), 2);
    assert_eq!(
        dev.count("select count(*) from webhook_deliveries").await,
        2,
        "bob is never told of"
    );
    assert_eq!(dev.errors(), Vec::<String>::new());
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_outlives_a_kill_and_is_given_up_after_a_day_and_a_half() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &["--time-scale", "600"]).await;
    let api = sign_up(&mut dev).await;
    let receiver = Receiver::open(&[500]).await;
    let hook = json!({ "url": receiver.url, "events": ["contact.*"] });
    api.post("/api/v1/webhooks", hook).await.with(201);
    api.post("/api/v1/contacts", json!({ "email": "eve@lead.example" })).await.with(201);
    receiver.came(2).await;
    dev.kill().await;
    // A day and a half in a second and a half.
    let dev = Dev::start(&folder, &["--time-scale", "86400"]).await;
    let failed = "select count(*) from webhook_deliveries where status = 'failed' and attempts = 11
      and response_status = 500 and error = 'it answered 500 Internal Server Error'";
    until("it to be given up", SOON, || async { (dev.count(failed).await == 1).then_some(()) })
        .await;
    let came = receiver.came(11).await;
    assert!(came.iter().all(|one| one.id == came[0].id && one.body == came[0].body));
    assert!(came.len() <= 12, "once more than it was told, where the kill took the answer");
    let failing =
        "select count(*) from webhooks where failing_since is not null and status = 'active'";
    assert_eq!(dev.count(failing).await, 1);
    dev.interrupt().await;
}
