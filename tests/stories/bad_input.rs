//! What a user may get wrong: one line says what is wrong and what to do, the exit code says how it ended,
//! and nothing is half done.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

use crate::salesos::{Dev, Folder, said};

/// A closed port of this machine: one that was free a moment ago.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A command under settings, its exit code, and what its one line must hold.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], i32, &'a [&'a str]);

async fn refuses(folder: &Folder, cases: &[Case<'_>]) {
    for (settings, args, code, holds) in cases {
        let mut command = folder.command(args);
        command.envs(settings.iter().copied());
        let line = said(command).await.refused(*code);
        for part in *holds {
            assert!(line.contains(part), "{settings:?} {args:?}: `{line}` lacks `{part}`");
        }
    }
}

#[tokio::test]
async fn a_bad_setting_of_mail_or_of_a_pool_stops_every_command_as_well() {
    let folder = Folder::bare();
    let (dev, list): (&[&str], &[&str]) = (&["dev", "--port", "0"], &["runs", "list"]);
    refuses(
        &folder,
        &[
            (
                &[("SYSTEM_MAIL_URL", "smtp://u:hush@mail.example?tls=no")],
                dev,
                1,
                &["SYSTEM_MAIL_URL has `tls=no`; write smtp://user:password@host:587?tls=required"],
            ),
            (
                &[("SYSTEM_MAIL_URL", "smtp://localhost")],
                list,
                1,
                &["SYSTEM_MAIL_FROM is not set", "no-reply@example.com"],
            ),
            (
                &[("DATABASE_POOL_API", "0")],
                list,
                1,
                &["DATABASE_POOL_API is `0`; write a number from 2 to 500"],
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_bad_setting_stops_every_command_with_its_name_and_what_to_write() {
    let folder = Folder::bare();
    let (dev, list): (&[&str], &[&str]) = (&["dev", "--port", "0"], &["runs", "list"]);
    let url = "postgres://u:p@127.0.0.1:5432/x";
    refuses(
        &folder,
        &[
            (&[("JWT_SECRET", "short")], dev, 1, &["JWT_SECRET has 5 characters", "at least 32"]),
            (
                &[("ENCRYPTION_KEY", "short")],
                dev,
                1,
                &["ENCRYPTION_KEY has a key of 5 characters; write at least 32"],
            ),
            (&[("EMAIL_PROVIDER", "gmial")], dev, 1, &["EMAIL_PROVIDER is `gmial`", "mock"]),
            (&[("SALESOS_ENV", "prod")], dev, 1, &["SALESOS_ENV is `prod`", "production"]),
            (
                &[("SALESOS_ENV", "production"), ("EMAIL_PROVIDER", "mock")],
                list,
                1,
                &["connect a mailbox"],
            ),
            (
                &[("SALESOS_HTTP_ALLOW", "api.example.com, ftp://x.example")],
                list,
                1,
                &["SALESOS_HTTP_ALLOW: `ftp://x.example` is no host", "write api.example.com"],
            ),
            (&[("JWT_ACCESS_EXPIRY", "15x")], list, 1, &["JWT_ACCESS_EXPIRY is `15x`", "minutes"]),
            (
                &[("DATABASE_URL", "mysql://h/x")],
                list,
                1,
                &["DATABASE_URL is no Postgres URL", "postgres://"],
            ),
            (
                &[("DATABASE_URL", "nonsense")],
                list,
                1,
                &["DATABASE_URL is no Postgres URL", "postgres://"],
            ),
            (
                &[("DATABASE_URL", url)],
                &["dev", "--time-scale", "60"],
                1,
                &["--time-scale", "unset DATABASE_URL"],
            ),
            (&[("DATABASE_URL", url)], &["dev", "--demo"], 1, &["--demo", "unset DATABASE_URL"]),
            (&[], list, 1, &["no `salesos dev` runs on", "start it, or set DATABASE_URL"]),
        ],
    )
    .await;
    folder.write(".env", "# fine\nJWT_SECRET\n");
    refuses(&folder, &[(&[], list, 1, &[".env line 2 is no setting", "NAME=value"])]).await;
    assert!(!folder.data().exists(), "a refused start made the data folder");
}

#[tokio::test]
async fn what_runs_apart_is_refused_where_it_could_not_work() {
    let folder = Folder::bare();
    let long = "as long as it has to be, or longer";
    let (internal, users) = (("INTERNAL_SECRET", long), ("JWT_SECRET", long));
    let (crm, gateway): (&[&str], &[&str]) =
        (&["serve", "--only", "crm", "--port", "0"], &["serve", "--only", "gateway"]);
    refuses(
        &folder,
        &[
            (&[users], crm, 1, &["INTERNAL_SECRET is not set", "at least 32 characters"]),
            (&[("INTERNAL_SECRET", "short")], crm, 1, &["INTERNAL_SECRET has 5 characters"]),
            (&[internal], crm, 1, &["JWT_SECRET is not set", "at least 32 characters"]),
            (&[internal, users], crm, 1, &["ENCRYPTION_KEY is not set", "at least 32 characters"]),
            (&[("AUTH_MODE", "both")], crm, 1, &["AUTH_MODE is `both`; write direct or gateway"]),
            (&[internal, users, ("AUTH_MODE", "direct")], gateway, 1, &["AUTH_MODE is `direct`"]),
            (
                &[internal, users, ("OPS_SERVICE_URL", "ops")],
                gateway,
                1,
                &["OPS_SERVICE_URL is `ops`"],
            ),
            (&[("CORS_ORIGINS", "*")], crm, 1, &["CORS_ORIGINS: `*`", "name each origin"]),
            (&[("RATE_LIMIT_IP", "few")], crm, 1, &["RATE_LIMIT_IP is `few`; write a number"]),
            (&[("TRUSTED_PROXIES", "us")], crm, 1, &["TRUSTED_PROXIES: `us` is no address"]),
            (
                &[internal, users],
                &["serve", "--only", "crm,ops", "--port", "0"],
                1,
                &["--port is for one alone"],
            ),
            (&[internal, users], &["serve", "--only", "crm,crm"], 1, &["--only names crm twice"]),
            (&[], &["serve", "--port", "0"], 1, &["no `salesos dev` runs on", "set DATABASE_URL"]),
            (&[], &["worker"], 1, &["no `salesos dev` runs on", "set DATABASE_URL"]),
        ],
    )
    .await;
    assert!(!folder.data().exists(), "a refused start made the data folder");
}

#[tokio::test]
async fn a_postgres_that_does_not_answer_is_named_and_nothing_is_made() {
    let folder = Folder::bare();
    let url = format!("postgres://u:p@127.0.0.1:{}/x", closed_port());
    let named = url.rsplit_once('@').unwrap().1.trim_end_matches("/x");
    let holds = [named, "does not answer", "is DATABASE_URL right?"];
    let settings = [("DATABASE_URL", url.as_str())];
    refuses(
        &folder,
        &[
            (&settings, &["migrate"], 1, &holds),
            (&settings, &["seed"], 1, &holds),
            (&settings, &["dev", "--port", "0"], 1, &holds),
            (&settings, &["serve", "--port", "0"], 1, &holds),
            (&settings, &["worker"], 1, &holds),
        ],
    )
    .await;
    assert!(!folder.data().exists(), "a refused start made the data folder");

    let mut doctor = folder.command(&["doctor", "--json"]);
    doctor.env("DATABASE_URL", &url);
    let found = said(doctor).await;
    assert_eq!((found.code, found.err.as_str()), (1, ""), "{found:?}");
    assert!(found.out.contains("does not answer") && found.out.contains("\"right\": false"));
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_before_anything_is_made() {
    let folder = Folder::bare();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    for command in ["dev", "serve"] {
        let line = folder.run(&[command, "--port", &port]).await.refused(1);
        assert!(
            line.starts_with(&format!("port {port} is taken")) && line.contains("--port 0"),
            "{line}"
        );
    }
    assert!(!folder.data().exists(), "a refused start made the data folder");
}

#[tokio::test]
async fn a_folder_that_can_not_be_written_to_is_named() {
    let folder = Folder::bare();
    let below = folder.write("file", "").join("data");
    let args = ["dev", "--port", "0", "--data-dir", below.to_str().unwrap()];
    let line = folder.run(&args).await.refused(1);
    assert!(
        line.contains(below.to_str().unwrap()) && line.contains("take another --data-dir"),
        "{line}"
    );

    if fs::metadata(folder.root()).unwrap().uid() == 0 {
        eprintln!("skipped in part: root may write to every folder");
        return;
    }
    fs::create_dir(folder.data()).unwrap();
    fs::set_permissions(folder.data(), fs::Permissions::from_mode(0o500)).unwrap();
    let line = folder.run(&["dev", "--port", "0"]).await.refused(1);
    assert!(line.contains("take another --data-dir"), "{line}");
}

#[tokio::test]
async fn data_of_a_postgres_that_is_not_here_are_left_alone() {
    for (version, named) in
        [("99", "Postgres 99"), ("9.6", "Postgres 9"), ("what", "no version that")]
    {
        let folder = Folder::bare();
        let clusters = ["postgres", "cluster/postgres"].map(|below| folder.data().join(below));
        for cluster in &clusters {
            fs::create_dir_all(cluster).unwrap();
            fs::write(cluster.join("PG_VERSION"), format!("{version}\n")).unwrap();
        }
        let line = folder.run(&["dev", "--port", "0"]).await.refused(1);
        assert!(line.contains(named) && line.contains("data"), "{line}");
        if version == "99" {
            assert!(line.contains("install postgresql-99 or take another --data-dir"), "{line}");
        }
        for cluster in &clusters {
            assert_eq!(fs::read_dir(cluster).unwrap().count(), 1, "the data were touched");
        }
    }
}

#[tokio::test]
async fn a_broken_workflow_is_drawn_with_its_place() {
    let folder = Folder::bare();
    let text = "name = \"x\"\ntitle = \"X\"\nsubject = \"contact\"\n[[steps]]\nid = \"a\"\ntype = \"emial.send\"\n";
    for (name, text, parts) in [
        ("torn.toml", "name = \"x", ["this is no TOML", " --> torn.toml:1:10", "1 problem"]),
        ("typo.toml", text, ["emial.send", " --> typo.toml:6:8", "did you mean `email.send`?"]),
    ] {
        folder.write(name, text);
        let refused = folder.run(&["workflows", "validate", name]).await;
        assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{refused:?}");
        assert!(refused.err.starts_with("error: "), "{refused:?}");
        for part in parts {
            assert!(refused.err.contains(part), "{} lacks {part}", refused.err);
        }
    }
    // A text that nests without end would end whoever reads it.
    let deep = format!("{text}title = \"{{{{ {}1 }}}}\"\n", "1+".repeat(20_000));
    folder.write("deep.toml", &deep.replace("emial.send", "activity.log"));
    let refused = folder.run(&["workflows", "validate", "deep.toml"]).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("make it simpler"), "{}", refused.err);
    let line = folder.run(&["workflows", "validate", "nowhere.toml"]).await.refused(1);
    assert!(line.starts_with("can't read nowhere.toml"), "{line}");
}

#[tokio::test]
async fn wrong_usage_ends_with_two_and_a_hint() {
    let folder = Folder::bare();
    for (args, hint) in [
        (&["deb"][..], "a similar subcommand exists: 'dev'"),
        (&["dev", "--time-scale", "0"], "86400 for a day a second"),
        (&["runs", "list", "--state", "hled"], "a similar value exists: 'held'"),
        (&["enroll", "contacts.csv"], "--sequence"),
        (&["runs", "list", "--limit", "0"], "1..=1000"),
    ] {
        let wrong = folder.run(args).await;
        assert_eq!((wrong.code, wrong.out.as_str()), (2, ""), "{wrong:?}");
        assert!(wrong.err.starts_with("error: ") && wrong.err.contains(hint), "{}", wrong.err);
    }
}

const UNKNOWN: &str = "run_01m8744ehte0f9rd27ynhz7an8";

#[tokio::test]
async fn what_is_not_there_is_named_with_what_may_have_been_meant() {
    let folder = Folder::new().await;
    let dev = Dev::start(&folder, &[]).await;
    folder.write("one.csv", "Email\nbo@lead.example\n");
    let early: Case<'_> = (&[], &["import", "one.csv"], 1, &["no customer yet", "salesos seed"]);
    refuses(&folder, &[early]).await;
    folder.run(&["seed"]).await.done();
    folder.write("names.csv", "First,Last\nBo,Lead\n");
    folder.write("empty.csv", "");
    folder.write("torn.toml", "name = \"x");
    let enroll = |file, sequence| ["enroll", file, "--sequence", sequence];
    refuses(
        &folder,
        &[
            (
                &[],
                &enroll("names.csv", "outbound-intro"),
                1,
                &["no column holds email", "name one `Email`", "First, Last"],
            ),
            (&[], &enroll("empty.csv", "outbound-intro"), 1, &["empty.csv", "found: nothing"]),
            (&[], &enroll("nowhere.csv", "outbound-intro"), 1, &["can't read nowhere.csv"]),
            (&[], &enroll("one.csv", "outbond-intro"), 3, &["did you mean `outbound-intro`?"]),
            (
                &[],
                &enroll("one.csv", "else"),
                3,
                &["there is no sequence `else`", "there are: outbound-intro"],
            ),
            (&[], &["workflows", "show", "outbond-intro"], 3, &["did you mean `outbound-intro`?"]),
            (&[], &["workflows", "apply", "nowhere.toml"], 1, &["can't read nowhere.toml"]),
            (&[], &["runs", "show", UNKNOWN], 3, &["there is no run", UNKNOWN]),
            (&[], &["runs", "history", UNKNOWN], 3, &["there is no run", UNKNOWN]),
            (&[], &["runs", "explain", UNKNOWN], 3, &["there is no run", UNKNOWN]),
            (&[], &["runs", "signal", UNKNOWN, "email.replied"], 3, &["there is no run", UNKNOWN]),
            (
                &[],
                &["runs", "signal", UNKNOWN, "email.repled"],
                1,
                &["did you mean `email.replied`?"],
            ),
            (&[], &["runs", "show", "nonsense"], 1, &["`nonsense` is no id", "`run_` and 26"]),
        ],
    )
    .await;
    let torn = folder.run(&["workflows", "apply", "torn.toml"]).await;
    assert_eq!(torn.code, 1, "{torn:?}");
    assert_eq!(dev.count("select count(*) from sequences").await, 1);
    assert_eq!(dev.count("select count(*) from contacts").await, 50);
    assert_eq!(dev.count("select count(*) from engine.runs").await, 0);
    assert_eq!(dev.errors(), Vec::<String>::new());
    dev.interrupt().await;
}
