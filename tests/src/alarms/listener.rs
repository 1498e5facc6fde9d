//! An MQTT reader that notes every word about alarms, and connects again whenever the broker is back.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use vardpuls_shared::alert::{Alert, AlertId};
use vardpuls_shared::key::PublicKey;
use vardpuls_shared::signed::{Envelope, Kind};
use vardpuls_shared::topic::Topic;

/// A pause before a lost connection is made again.
const PAUSE: Duration = Duration::from_millis(20);

/// One word about an alarm.
#[derive(Debug, Clone, PartialEq)]
pub enum Word {
    /// The alarm after a change.
    Said(Box<Alert>),
    /// The broker keeps nothing of it any more.
    Forgotten(AlertId),
    /// What cannot be read, or is not signed by the centre.
    Foreign(String),
}

/// What was heard.
#[derive(Debug, Clone, Default)]
pub struct Listener {
    words: Arc<Mutex<Vec<Word>>>,
}

impl Listener {
    /// Listens to the signed alerts of the centre with this key.
    pub fn listen(mqtt: SocketAddr, key: PublicKey) -> Listener {
        let listener = Listener::default();
        let words = listener.words.clone();
        let mut options = MqttOptions::new("listener", mqtt.ip().to_string(), mqtt.port());
        options.set_keep_alive(Duration::from_secs(5)).set_max_packet_size(1 << 20, 1 << 20);
        let (client, mut connection) = Client::new(options, 100);
        thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => {
                        client.try_subscribe("vardpuls/v1/alert/+", QoS::AtLeastOnce).expect("nothing else waits");
                    }
                    Ok(Event::Incoming(Packet::Publish(message))) => {
                        let word = read(&message.topic, &message.payload, &key);
                        words.lock().unwrap_or_else(PoisonError::into_inner).push(word);
                    }
                    Ok(_) => {}
                    Err(_) => thread::sleep(PAUSE),
                }
            }
        });
        listener
    }

    /// Everything that came, in order.
    pub fn words(&self) -> Vec<Word> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn read(topic: &str, payload: &[u8], key: &PublicKey) -> Word {
    let foreign = || Word::Foreign(topic.to_owned());
    let Some(Topic::Alert(id)) = Topic::parse(topic) else { return foreign() };
    if payload.is_empty() {
        return Word::Forgotten(id);
    }
    let Ok(envelope) = Envelope::open(Kind::Alert, payload) else { return foreign() };
    let alert = envelope.verify(key).ok().and_then(|payload| Alert::decode(payload).ok());
    alert.map_or_else(foreign, |alert| Word::Said(Box::new(alert)))
}
