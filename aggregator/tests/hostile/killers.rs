//! What stops rumqttd for everybody when it meets the client itself: each of the six known ways, through the front.

use vardpuls_aggregator::broker::front::denial::Denial;

use crate::good::Good;
use crate::raw::{Raw, connect, packet, publish, subscribe, tcp, text, tls};
use crate::rig::Rig;

async fn local(rig: &Rig, bytes: &[u8]) -> Raw {
    let mut raw = Raw(Box::new(tcp(rig.local, 0, 1).await.expect("connects")));
    raw.say(&connect("tool", None)).await;
    assert_eq!(raw.connack().await, Some(0));
    raw.say(bytes).await;
    raw
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn none_of_the_six_reaches_it() {
    let rig = Rig::start("max-connections = 16\nmax-per-address = 100\n").await;
    let mut good = Good::start(&rig).await;

    // 1: a topic that begins outside ASCII, by a login, by a last will, and by a program on this machine.
    let mut raw = Raw::mallory(&rig).await;
    raw.say(&publish("é/x", false, b"x")).await;
    raw.ended().await;
    local(&rig, &publish("é/x", false, b"x")).await.ended().await;
    let will = packet(0x10, &[text("MQTT"), vec![4, 6, 0, 60], text("tool"), text("é/x"), text("x")].concat());
    let mut raw = Raw(Box::new(tcp(rig.local, 0, 1).await.expect("connects")));
    raw.say(&will).await;
    assert_eq!(raw.connack().await, Some(5));
    rig.denied_times(Denial::Topic, 3).await;
    good.goes_on("1, a topic outside ASCII").await;

    // 2: a shared subscription.
    let shared = subscribe("$share/g/vardpuls/v1/feed/#");
    let mut raw = Raw::mallory(&rig).await;
    raw.say(&shared).await;
    raw.ended().await;
    local(&rig, &shared).await.ended().await;
    rig.denied_times(Denial::Filter, 2).await;
    good.goes_on("2, a shared subscription").await;

    // 3: every seat taken, and the same client again and again. The sixteenth is the good hospital's.
    let config = rig.tls(Some("mallory"));
    let mut held = Vec::new();
    for _ in 0..15 {
        held.push(Raw(Box::new(tcp(rig.port, 6, 1).await.expect("connects"))));
    }
    for _ in 0..20 {
        if let Ok(mut raw) = tls(rig.port, 6, 2, config.clone()).await {
            raw.say(&connect("mallory", None)).await;
            let _in_or_not = raw.connack().await;
        }
    }
    drop(held);
    good.goes_on("3, no seat left").await;

    // 4: a client id with a slash, twice.
    for _ in 0..2 {
        for bad in ["a/b", "a#b", "a+b", "$ab"] {
            let mut raw = Raw(Box::new(tcp(rig.local, 0, 1).await.expect("connects")));
            raw.say(&connect(bad, None)).await;
            assert_eq!(raw.connack().await, Some(2), "{bad}");
        }
    }
    good.goes_on("4, a client id with a slash").await;

    // 5: one silent connection, in clear and with TLS: further logins do not wait for it.
    let silent = (tcp(rig.port, 7, 1).await.expect("connects"), Raw::connect(&rig).await);
    drop(Raw::mallory(&rig).await);
    good.goes_on("5, a silent connection").await;
    drop(silent);

    // 6: MQTT 5, and the packets that only a broker sends.
    let five = packet(0x10, &[text("MQTT"), vec![5, 2, 0, 60, 0], text("mallory")].concat());
    let mut raw = Raw::connect(&rig).await;
    raw.say(&five).await;
    assert_eq!(raw.connack().await, Some(1));
    for only_a_broker in [packet(0x20, &[0, 0]), packet(0xb0, &[0, 1])] {
        let mut raw = Raw::mallory(&rig).await;
        raw.say(&only_a_broker).await;
        raw.ended().await;
    }
    rig.denied_times(Denial::Version, 1).await;
    rig.denied_times(Denial::Packet, 2).await;
    good.goes_on("6, MQTT 5 and a broker's packets").await;

    assert_eq!(good.connections(), 1);
    good.ends_with_every_receipt_right(&rig).await;
    rig.stop().await;
}
