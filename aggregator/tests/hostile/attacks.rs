//! Floods, silence, nonsense, and other people's topics.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use vardpuls_aggregator::broker::front::denial::Denial;

use crate::good::Good;
use crate::raw::{Raw, connect, packet, publish, subscribe, tcp, text, tls};
use crate::rig::{Rig, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_clients_wait_in_vain_and_hold_nobody_up() {
    let rig = Rig::start("max-connections = 80\n").await; // sixteen of them not logged in
    let mut good = Good::start(&rig).await;
    let mut silent = Vec::new();
    for n in 0..60 {
        silent.push(tcp(rig.port, 1, n).await.expect("connects"));
    }
    rig.until_denied(Denial::CrowdedOut, 44).await;
    good.goes_on("60 silent TCP connections").await;
    let mut encrypted = Vec::new();
    for n in 0..40 {
        encrypted.push(tls(rig.port, 2, n, rig.tls(None)).await.expect("connects"));
    }
    good.goes_on("40 silent TLS connections").await;
    rig.until_denied(Denial::Handshake, 10).await;
    for raw in &mut encrypted {
        raw.ended().await;
    }
    assert_eq!(good.connections(), 1);
    good.ends_with_every_receipt_right(&rig).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_takes_no_seat_from_whoever_has_logged_in_nor_from_newcomers() {
    let rig = Rig::start("max-connections = 40\nmax-per-address = 10\n").await;
    let mut good = Good::start(&rig).await;
    let (port, stop) = (rig.port, tokio_util::sync::CancellationToken::new());
    let flood = tokio::spawn({
        let stop = stop.clone();
        async move {
            let mut held = std::collections::VecDeque::new();
            for n in 0u64.. {
                if stop.is_cancelled() {
                    return n;
                }
                let host = u8::try_from(n % 250).expect("a byte");
                held.extend(tcp(port, 3, host).await);
                if held.len() > 200 {
                    held.pop_front();
                }
                tokio::time::sleep(Duration::from_micros(500)).await;
            }
            unreachable!("there are enough numbers")
        }
    });
    rig.until_denied(Denial::CrowdedOut, 500).await;
    // A newcomer gets in, if need be at the second or third try.
    let config = rig.tls(Some("mallory"));
    let mut tries = 0;
    loop {
        tries += 1;
        assert!(tries < 100, "no newcomer gets in");
        let Ok(mut raw) = tls(rig.port, 4, 1, config.clone()).await else { continue };
        raw.say(&connect("mallory", None)).await;
        if raw.connack().await == Some(0) {
            break;
        }
    }
    good.goes_on("a flood of connections").await;
    stop.cancel();
    println!("{} connections in the flood; a newcomer got in at try {tries}", flood.await.expect("no panic"));

    // From one address, the house is full sooner.
    let mut held = Vec::new();
    for _ in 0..25 {
        held.push(tcp(rig.port, 5, 5).await.expect("connects"));
    }
    rig.until_denied(Denial::AddressFull, 1).await;
    good.goes_on("one address at its limit").await;
    assert_eq!(good.connections(), 1);
    good.ends_with_every_receipt_right(&rig).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_and_huge_lengths_end_the_connection_that_they_came_on() {
    let rig = Rig::start("").await;
    let mut good = Good::start(&rig).await;
    let mut random = fastrand::Rng::with_seed(7);
    for n in 0..60 {
        // Before the login, and after it.
        let mut raw = if n % 2 == 0 { Raw::connect(&rig).await } else { Raw::mallory(&rig).await };
        let mut bytes: Vec<u8> = (0..random.usize(6..2000)).map(|_| random.u8(..)).collect();
        // A whole packet of a kind that only a broker sends, or none of ours: refused whatever the rest is.
        bytes[..2].copy_from_slice(&[[0x00, 0xf0, 0x20, 0x90][n % 4], 4]);
        raw.say(&bytes).await;
        raw.ended().await;
    }
    good.goes_on("random bytes").await;
    let before = rig.denied(Denial::Oversize);
    for length in [&[0xff, 0xff, 0xff, 0x7f][..], &[0x80, 0x80, 0x80, 0x01]] {
        for first in [0x10, 0x30, 0x82] {
            for logged_in in [false, true] {
                let mut raw = if logged_in { Raw::mallory(&rig).await } else { Raw::connect(&rig).await };
                raw.say(&[&[first], length].concat()).await;
                raw.ended().await;
            }
        }
    }
    rig.until_denied(Denial::Oversize, before + 1).await;
    // A packet that never ends: a byte now and then is no sign of life.
    let mut drip = Raw::connect(&rig).await;
    let login = [text("mallory"), text(&rig.password)].concat();
    drip.say(&packet(0x10, &[text("MQTT"), vec![4, 0xc2, 0, 1], text("mallory"), login].concat())).await;
    assert_eq!(drip.connack().await, Some(0));
    let (_, mut writing) = tokio::io::split(drip.0);
    writing.write_all(&[0x32, 0x60]).await.expect("writes");
    let dripping = async {
        while writing.write_all(b"x").await.is_ok() && writing.flush().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    tokio::select! {
        () = dripping => {}
        () = rig.until_denied(Denial::Silent, 1) => {}
    }
    good.goes_on("huge lengths and a dripping packet").await;
    assert_eq!(good.connections(), 1);
    good.ends_with_every_receipt_right(&rig).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_speaks_or_listens_on_anothers_topics() {
    let rig = Rig::start("").await;
    let mut good = Good::start(&rig).await;
    let stored = rig.metrics.stored.get();
    for topic in [
        "vardpuls/v1/report/good",
        "vardpuls/v1/roster/good",
        "vardpuls/v1/receipt/good",
        "vardpuls/v1/receipt/mallory",
        "vardpuls/v1/feed/nation",
        "vardpuls/v1/alert/x.nation.1",
        "vardpuls/v1/report/mallory/x",
        "$SYS/x",
    ] {
        for payload in [&b""[..], b"forged"] {
            let mut raw = Raw::mallory(&rig).await;
            raw.say(&publish(topic, true, payload)).await;
            raw.ended().await;
        }
    }
    rig.denied_times(Denial::Topic, 16).await;
    for filter in ["#", "vardpuls/#", "vardpuls/v1/receipt/good", "vardpuls/v1/+/good", "vardpuls/v1/report/mallory"] {
        let mut raw = Raw::mallory(&rig).await;
        raw.say(&subscribe(filter)).await;
        raw.ended().await;
    }
    rig.denied_times(Denial::Filter, 5).await;
    // A last will is a publication too.
    let mut raw = Raw::connect(&rig).await;
    let login = [text("mallory"), text(&rig.password)].concat();
    let will = [text("vardpuls/v1/presence/good"), text("offline")].concat();
    raw.say(&packet(0x10, &[text("MQTT"), vec![4, 0xe6, 0, 60], text("mallory"), will, login].concat())).await;
    assert_eq!(raw.connack().await, Some(5));
    // What is its own goes through, and so does reading.
    let mut own = Raw::mallory(&rig).await;
    own.say(&publish("vardpuls/v1/presence/mallory", true, b"online")).await;
    assert_eq!(own.hear().await.expect("an answer")[..2], [0x40, 2]);
    own.say(&subscribe("vardpuls/v1/feed/nation")).await;
    assert_eq!(own.hear().await.expect("an answer")[0], 0x90);
    good.goes_on("forged publications").await;
    // The good hospital's roster is still there for whoever subscribes.
    let mut local = Raw(Box::new(tcp(rig.local, 0, 1).await.expect("connects")));
    local.say(&connect("reader", None)).await;
    assert_eq!(local.connack().await, Some(0));
    local.say(&subscribe("vardpuls/v1/roster/good")).await;
    let mut heard = Vec::new();
    let topic = b"vardpuls/v1/roster/good";
    while !heard.windows(topic.len()).any(|window| window == topic) {
        heard.extend(local.hear().await.expect("the roster"));
    }
    assert!(rig.metrics.stored.get() > stored && good.connections() == 1);
    good.ends_with_every_receipt_right(&rig).await;
    rig.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_hangs_up_in_the_middle_of_its_login_leaves_nothing_behind() {
    let rig = Rig::start("").await;
    let mut good = Good::start(&rig).await;
    for _ in 0..100 {
        let mut raw = Raw::connect(&rig).await;
        raw.say(&connect("mallory", Some(("mallory", &rig.password)))).await;
        drop(raw);
    }
    let _still_in = Raw::mallory(&rig).await;
    good.goes_on("logins that break off").await;
    until("all to be let go", || !rig.has_ended()).await;
    good.ends_with_every_receipt_right(&rig).await;
    rig.stop().await;
}
