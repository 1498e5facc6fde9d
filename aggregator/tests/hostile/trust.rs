//! Whose word counts: forged client ids, wrong logins, and what changes while the aggregator runs.

use vardpuls_aggregator::broker::front::denial::Denial;
use vardpuls_aggregator::broker::front::logins;
use vardpuls_aggregator::operators::Token;

use crate::good::Good;
use crate::raw::{Raw, connect, publish, tls};
use crate::rig::{Ca, Rig, id, number, until};

async fn code(rig: &Rig, certificate: Option<&str>, client_id: &str, login: Option<(&str, &str)>) -> Option<u8> {
    let mut raw = tls(rig.port, 8, 8, rig.tls(certificate)).await.expect("connects");
    raw.say(&connect(client_id, login)).await;
    raw.connack().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_comes_in_under_anothers_name() {
    let rig = Rig::start("").await;
    let mut good = Good::start(&rig).await;
    let password = rig.password.as_str();
    for (certificate, client_id, login, expected) in [
        (None, "good", None, 5),
        (None, "good", Some(("mallory", password)), 5),
        (None, "good", Some(("good", password)), 4),
        (None, "mallory", Some(("mallory", "guess")), 4),
        (None, "mallory", Some(("mallory", "")), 4),
        (None, "mallory", Some(("vardpuls-own", "guess")), 4),
        (None, "vardpuls-aggregator", Some(("vardpuls-own", password)), 4),
        (Some("mallory"), "good", None, 5),
        (Some("mallory"), "vardpuls-aggregator", None, 5),
        (Some("mallory"), "mallory", Some(("good", "x")), 5),
        (Some("+"), "+", None, 2),
        (None, "mallory", Some(("mallory", password)), 0),
        (Some("mallory"), "mallory", None, 0),
    ] {
        let case = format!("{certificate:?} {client_id} {:?}", login.map(|(user, _)| user));
        assert_eq!(code(&rig, certificate, client_id, login).await, Some(expected), "{case}");
    }
    // A certificate of somebody else's CA ends the handshake, at the latest when the first word is read.
    let stranger = Ca::new();
    let config = rig.tls_of(&stranger, "good");
    if let Ok(mut raw) = tls(rig.port, 8, 8, config).await {
        raw.say(&connect("good", None)).await;
        assert_eq!(raw.connack().await, None);
    }
    rig.until_denied(Denial::Tls, 1).await;
    good.goes_on("forged names").await;
    assert_eq!(good.connections(), 1);
    good.ends_with_every_receipt_right(&rig).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_certificate_is_shown_to_newcomers_and_a_login_that_is_gone_ends_its_connection() {
    let rig = Rig::start("").await;
    let mut good = Good::start(&rig).await;
    let mut mallory = Raw::mallory(&rig).await;
    let write = |name: &str, text: &str| std::fs::write(rig.dir.path().join(name), text).expect("writes");

    // A broken file changes nothing.
    write("broker.pem", "no certificate");
    good.goes_on("a broken certificate file").await;
    let (certificate, key) = rig.ca.issue("the new one", &["localhost", "127.0.0.1"]);
    write("broker.pem", &certificate);
    write("broker.key", &key);
    // Bo has a login from now on, Mallory none.
    let bo = Token::make();
    write("logins.toml", &logins::block(&id("bo"), bo.digest()));
    mallory.ended().await;
    rig.denied_times(Denial::Revoked, 1).await;
    assert_eq!(code(&rig, None, "mallory", Some(("mallory", &rig.password))).await, Some(4));
    assert_eq!(code(&rig, None, "bo", Some(("bo", bo.text()))).await, Some(0));
    assert!(rig.shown_certificate().await != rig.first_certificate, "the new one is shown");
    good.goes_on("after the change").await;
    assert_eq!(good.connections(), 1, "whoever was connected stays so");

    let mut own = tls(rig.port, 8, 8, rig.tls(Some("mallory"))).await.expect("connects");
    own.say(&connect("mallory", None)).await;
    assert_eq!(own.connack().await, Some(0));
    own.say(&publish("vardpuls/v1/presence/mallory", false, b"online")).await;
    assert!(own.hear().await.is_some());
    // That certificate is not believed any more, and then nobody's: the CA is another one.
    write("ca.crl", &rig.ca.revoke(&[number("mallory")]));
    own.ended().await;
    rig.denied_times(Denial::Revoked, 2).await;
    if let Ok(mut again) = tls(rig.port, 8, 8, rig.tls(Some("mallory"))).await {
        again.say(&connect("mallory", None)).await;
        assert_eq!(again.connack().await, None);
    }
    good.goes_on("a certificate on the list").await;
    assert_eq!(good.connections(), 1);
    let other = Ca::new();
    write("ca.crl", &other.revoke(&[]));
    write("ca.pem", other.pem());
    until("the good hospital to be cut off", || rig.denied(Denial::Revoked) >= 3).await;
    rig.stop().await;
}
