//! The login at the broker, as the agent would do it, while no agent runs; and the centre's word,
//! which only a broker can pass on.
//!
//! In: the config. Out: a finding for the login, one for the subscription, and what the feed says.
//! The login bears the agent's own client id: brokers bind logins to it, and where they do, a second
//! connection under any id pushes the first one off. That is why nobody may log in beside a running
//! agent. Nothing is published: the presence that MQTT keeps as a will is taken back by the goodbye.

use std::time::Duration;

use rumqttc::{
    AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, NetworkOptions, Packet, QoS, SubscribeReasonCode,
};
use tokio::time::{Instant, timeout_at};
use vardpuls_shared::clock::Clock;
use vardpuls_shared::topic::Topic;

use crate::config::Config;
use crate::publisher::connection;
use crate::word::{self, Word};

use super::clock;
use super::finding::{Finding, Level};

const STEP: &str = "login";
const RECEIPTS: &str = "receipts";
const LOGIN: Duration = Duration::from_secs(10);
/// Retained messages come at once; a hospital that was enrolled a moment ago comes a little later.
const RETAINED: Duration = Duration::from_secs(4);

/// What the broker and, through it, the centre said.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) findings: Vec<Finding>,
    /// None where there was no login.
    pub(super) word: Option<Word>,
}

/// Logs in, listens for a moment, says goodbye.
pub(super) async fn check(config: &Config, clock: &Clock) -> Heard {
    let options = match connection::options(&config.hospital, &config.broker) {
        Ok(options) => options,
        Err(e) => return Heard { findings: vec![Finding::of(STEP, Level::Failed, &e)], word: None },
    };
    let (client, mut events) = AsyncClient::new(options, 16);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(LOGIN.as_secs());
    events.set_network_options(network);
    if let Some(refusal) = log_in(config, &mut events).await {
        return Heard { findings: vec![refusal], word: None };
    }
    let as_whom = match &config.broker.login {
        Some(login) => format!("username {:?}", login.username),
        None if has_certificate(config) => "the client certificate".to_owned(),
        None => "a client without login".to_owned(),
    };
    let mut findings = vec![Finding::ok(STEP, format!("the broker takes {as_whom}, client id {}", config.hospital))];
    let mut listener = Listener { config, clock, word: Word::default(), refused: None, doubted: None, left: 3 };
    for topic in [Topic::Receipt(config.hospital.clone()).to_string()].into_iter().chain(word::topics(&config.hospital))
    {
        // A fresh client's queue has room for these three.
        let _ = client.try_subscribe(topic, QoS::AtLeastOnce);
    }
    listener.listen(&mut events, Instant::now() + RETAINED, Listener::knows_all).await;
    // What the broker remembered cannot tell a clock that is ahead from a centre that is silent; a live message can.
    if clock::wants_live(&listener.word) {
        let live = |l: &Listener<'_>| !clock::wants_live(&l.word);
        listener.listen(&mut events, Instant::now() + clock::PULSE, live).await;
    }
    findings.extend(listener.findings());
    let word = listener.word;
    // The will must not speak for us; if the goodbye fails, the agent is not there, which is what the will says.
    let _ = client.try_disconnect();
    let deadline = Instant::now() + Duration::from_secs(2);
    while let Ok(Ok(_)) = timeout_at(deadline, events.poll()).await {}
    Heard { findings, word: Some(word) }
}

/// None when the broker took us.
async fn log_in(config: &Config, events: &mut EventLoop) -> Option<Finding> {
    let deadline = Instant::now() + LOGIN;
    loop {
        match timeout_at(deadline, events.poll()).await {
            Ok(Ok(Event::Incoming(Packet::ConnAck(_)))) => return None,
            Ok(Ok(_)) => {}
            Ok(Err(e)) => return Some(refused(config, &e)),
            Err(_) => {
                let what = format!("the broker takes the connection, but says nothing within {} s", LOGIN.as_secs());
                let remedy = "check that the port in broker.url is the broker's MQTT port (TLS or not), and its log";
                return Some(Finding::failed(STEP, what, remedy));
            }
        }
    }
}

fn has_certificate(config: &Config) -> bool {
    config.broker.tls.as_ref().is_some_and(|tls| tls.client.is_some())
}

fn refused(config: &Config, e: &ConnectionError) -> Finding {
    let whose = match &config.broker.login {
        Some(login) => format!("username {:?} and the password in {}", login.username, login.password_file.display()),
        None if has_certificate(config) => "the certificate in client-cert-file".to_owned(),
        None => "no login, for none is in the config".to_owned(),
    };
    let remedy = "compare username, password-file and client certificate with what the broker's operator gave out";
    match e {
        ConnectionError::ConnectionRefused(ConnectReturnCode::BadClientId) => Finding::failed(
            STEP,
            format!("the broker refuses the client id {}", config.hospital),
            "ask the broker's operator to allow the hospital's id as client id",
        ),
        ConnectionError::ConnectionRefused(_) => {
            Finding::failed(STEP, format!("the broker refuses the login: it was given {whose}"), remedy)
        }
        // Many brokers close without a word when they refuse a login.
        e => Finding::failed(
            STEP,
            format!(
                "the broker closed the connection at the login, as many do to refuse it; it was given {whose} ({e})"
            ),
            remedy,
        ),
    }
}

struct Listener<'a> {
    config: &'a Config,
    clock: &'a Clock,
    word: Word,
    /// Whether the receipt topic was refused; none while it was not answered.
    refused: Option<bool>,
    /// Why a feed message was not believed.
    doubted: Option<String>,
    /// Subscriptions that were not answered yet.
    left: u8,
}

impl Listener<'_> {
    fn knows_all(&self) -> bool {
        self.left == 0 && self.word.nation.is_some() && self.word.hospital.is_some()
    }

    async fn listen(&mut self, events: &mut EventLoop, deadline: Instant, enough: impl Fn(&Self) -> bool) {
        while !enough(self) {
            match timeout_at(deadline, events.poll()).await {
                Ok(Ok(Event::Incoming(Packet::SubAck(answer)))) => {
                    // They are answered in their order, the receipts first.
                    let refused = answer.return_codes.contains(&SubscribeReasonCode::Failure);
                    self.refused.get_or_insert(refused);
                    self.left = self.left.saturating_sub(1);
                }
                Ok(Ok(Event::Incoming(Packet::Publish(message)))) => {
                    let said = (message.topic.as_str(), message.retain, &message.payload[..]);
                    let (centre, hospital) = (&self.config.centre_key, &self.config.hospital);
                    if let Err(e) = self.word.take(said, centre, hospital, self.clock.now()) {
                        self.doubted = Some(e.to_string());
                        return;
                    }
                }
                Ok(Ok(_)) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    fn findings(&self) -> Vec<Finding> {
        let topic = Topic::Receipt(self.config.hospital.clone());
        let mut findings = Vec::new();
        match self.refused {
            Some(false) => {}
            Some(true) => findings.push(Finding::failed(
                RECEIPTS,
                format!("the broker lets this login not read {topic}, so that no receipt can come"),
                "ask the broker's operator for its access rules: pattern read vardpuls/v1/receipt/%u, where %u is the hospital",
            )),
            None => findings.push(Finding::failed(
                RECEIPTS,
                format!("the broker does not answer a subscription to {topic}"),
                "see the broker's log; it may have closed the connection",
            )),
        }
        if let Some(why) = &self.doubted {
            findings.push(Finding::of("centre-key", Level::Failed, why));
        }
        findings
    }
}
