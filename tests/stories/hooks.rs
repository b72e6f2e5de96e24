//! A customer's system is told of events: signed, tried again until it takes them, and once more when somebody asks.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::salesos::{Api, Dev, Fault, Faulty, Folder, Receiver, until};

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

/// Answers of 2xx whose bodies do what no body should.
fn taken() -> Vec<(&'static str, Vec<Fault>)> {
    let ok = |headers: &str| format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{headers}\r\n");
    let long = format!("{}{}", ok("content-length: 1000000\r\n"), "x".repeat(1_000_000));
    let slow = Duration::from_millis(300);
    vec![
        ("/long", vec![Fault::Ends(long)]),
        ("/endless", vec![Fault::Endless(ok(""), "x".repeat(8_192))]),
        ("/drips", vec![Fault::Drips(ok("content-length: 100000\r\n"), slow)]),
        ("/cut", vec![Fault::Ends(format!("{}half", ok("content-length: 100\r\n")))]),
        ("/none", vec![Fault::Ends(ok("content-length: 100\r\n"))]),
        ("/more", vec![Fault::Ends(format!("{}much more", ok("content-length: 2\r\n")))]),
        ("/gzip", vec![Fault::Ends(format!("{}not gzip", ok("content-encoding: gzip\r\n")))]),
        ("/chunks", vec![Fault::Ends(format!("{}zz\r\n", ok("transfer-encoding: chunked\r\n")))]),
        (
            "/created",
            vec![Fault::ends(
                "HTTP/1.1 299 Whatever\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            )],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_decides_whatever_body_follows_it() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &["--time-scale", "60"]).await;
    let api = sign_up(&mut dev).await;
    let good = || Fault::ends("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    let recovering = [
        ("/reset", vec![Fault::Resets, good()]),
        ("/status", vec![Fault::ends("HTTP/1.1 200 OK\r\n"), good()]),
        ("/noise", vec![Fault::ends("what?\r\n\r\n"), good()]),
        (
            "/busy",
            vec![Fault::Endless("HTTP/1.1 503 Busy\r\n\r\n".into(), "x".repeat(8_192)), good()],
        ),
    ];
    let taken = taken();
    let all = [taken.as_slice(), &recovering].concat();
    let faulty = Faulty::open(&all).await;
    for (path, _) in &all {
        let hook =
            json!({ "url": faulty.url(path), "events": ["contact.created"], "description": path });
        api.post("/api/v1/webhooks", hook).await.with(201);
    }
    api.post("/api/v1/contacts", json!({ "email": "eve@lead.example" })).await.with(201);
    let attempts = |path: &'static str| {
        let dev = &dev;
        async move {
            let found = "select d.attempts::bigint from webhook_deliveries d
              join webhooks w on w.customer_id = d.customer_id and w.id = d.webhook_id
              where w.description = $1 and d.status = 'delivered'";
            sqlx::query_scalar::<_, i64>(found).bind(path).fetch_optional(&dev.db).await.unwrap()
        }
    };
    for (path, _) in &taken {
        let path = *path;
        let delivered = until(&format!("{path} to have it"), SOON, || attempts(path)).await;
        assert_eq!((delivered, faulty.asked(path)), (1, 1), "{path}");
    }
    for (path, _) in &recovering {
        let path = *path;
        let delivered = until(&format!("{path} to have it"), SOON, || attempts(path)).await;
        assert_eq!((delivered, faulty.asked(path)), (2, 2), "{path}");
    }
    assert_eq!(dev.errors(), Vec::<String>::new());
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_a_failed_attempt_that_says_where_to_point_the_webhook() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &[]).await;
    let api = sign_up(&mut dev).await;
    let moved =
        "HTTP/1.1 308 Permanent Redirect\r\nlocation: /new?token=hush\r\ncontent-length: 0\r\n\r\n";
    let faulty = Faulty::open(&[("/old", vec![Fault::ends(moved)])]).await;
    let hook = json!({ "url": faulty.url("/old"), "events": ["contact.created"] });
    api.post("/api/v1/webhooks", hook).await.with(201);
    api.post("/api/v1/contacts", json!({ "email": "eve@lead.example" })).await.with(201);
    let tried = until("an attempt to fail", SOON, || async {
        let page = api.get("/api/v1/webhooks/deliveries?limit=1").await.with(200);
        let delivery = page["data"].get(0)?.clone();
        (delivery["attempts"] != 0).then_some(delivery)
    })
    .await;
    assert_eq!((&tried["attempts"], &tried["status"]), (&json!(1), &json!("pending")));
    let one = format!("/api/v1/webhooks/deliveries/{}", tried["id"].as_str().unwrap());
    let whole = api.get(&one).await.with(200);
    assert_eq!(whole["attempts"], 1);
    assert_eq!(whole["next_attempt_at"], tried["next_attempt_at"]);
    assert!(whole["next_attempt_at"].is_string(), "{whole}");
    let reason = format!(
        "it answered 308 Permanent Redirect, and redirects are not followed; set the webhook's url to the final one, `{}`",
        faulty.url("/new"),
    );
    assert_eq!(whole["failures"][0]["reason"], json!(reason));
    assert_eq!((faulty.asked("/old"), faulty.asked("/new")), (1, 0));
    assert_eq!(dev.errors(), Vec::<String>::new());
    dev.interrupt().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_an_inner_network_is_refused_when_the_webhook_is_made() {
    let folder = Folder::new().await;
    let mut dev = Dev::start(&folder, &[]).await;
    let api = sign_up(&mut dev).await;
    let inner = [
        "https://10.0.0.1/hook",
        "https://169.254.169.254/latest",
        "https://0xa.1/",
        "https://167772161/",
        "https://[::ffff:10.0.0.1]/",
        "https://[fd00::1]:8443/",
    ];
    let made = json!({ "url": "https://hooks.example.com/x", "events": ["*"] });
    let made = api.post("/api/v1/webhooks", made).await.with(201);
    let path = format!("/api/v1/webhooks/{}", made["id"].as_str().unwrap());
    for url in inner {
        let refused =
            api.post("/api/v1/webhooks", json!({ "url": url, "events": ["*"] })).await.with(422);
        let message = refused["errors"][0]["message"].as_str().unwrap();
        assert!(message.contains("is not on the public internet"), "{url}: {refused}");
        api.patch(&path, json!({ "url": url })).await.with(422);
    }
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
