//! A witness on the broker: every receipt that the centre was heard to give.
//!
//! It keeps no books with the agents, so that a fault in an outbox's own account cannot hide a lost report. It may miss
//! receipts while the broker is down; what it heard must be true.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::Duration;

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::key::PublicKey;
use vardpuls_shared::receipt::Receipt;
use vardpuls_shared::report::Position;
use vardpuls_shared::signed::{Envelope, Kind};
use vardpuls_shared::wire::MAX_ENVELOPE;

/// Positions that the centre said were stored.
pub type Receipted = BTreeSet<(HospitalId, Position)>;

/// The witness, listening until it is stopped.
pub struct Witness {
    heard: Arc<Mutex<Receipted>>,
    stop: Arc<AtomicBool>,
    client: Client,
    thread: JoinHandle<()>,
}

impl Witness {
    /// Starts to listen.
    pub fn start(port: u16, centre: PublicKey) -> io::Result<Witness> {
        let mut options = MqttOptions::new("witness", "127.0.0.1", port);
        options.set_max_packet_size(MAX_ENVELOPE + 1024, MAX_ENVELOPE + 1024);
        let (client, mut connection) = Client::new(options, 10);
        let heard = Arc::new(Mutex::new(Receipted::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let thread = spawn({
            let (heard, stop, client) = (Arc::clone(&heard), Arc::clone(&stop), client.clone());
            move || {
                for event in connection.iter() {
                    match event {
                        Ok(Event::Incoming(Packet::ConnAck(_))) => {
                            // Full only if ten are waiting, and then one of them is this.
                            let _ = client.try_subscribe("vardpuls/v1/receipt/+", QoS::AtLeastOnce);
                        }
                        Ok(Event::Incoming(Packet::Publish(publish))) => {
                            if let Some(receipt) = read(&publish.payload, &centre) {
                                note(&mut heard.lock().unwrap_or_else(PoisonError::into_inner), &receipt);
                            }
                        }
                        Ok(_) => {}
                        Err(_) if stop.load(Ordering::Relaxed) => return,
                        // The broker was killed: it comes back.
                        Err(_) => sleep(Duration::from_millis(50)),
                    }
                }
            }
        });
        Ok(Witness { heard, stop, client, thread })
    }

    /// Ends, and says what it heard.
    pub fn stop(self) -> Receipted {
        self.stop.store(true, Ordering::Relaxed);
        // An error means that the connection is gone already.
        let _ = self.client.try_disconnect();
        self.thread.join().expect("the witness does not panic");
        std::mem::take(&mut self.heard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn read(bytes: &[u8], centre: &PublicKey) -> Option<Receipt> {
    let envelope = Envelope::open(Kind::Receipt, bytes).ok()?;
    Receipt::decode(envelope.verify(centre).ok()?).ok()
}

fn note(heard: &mut Receipted, receipt: &Receipt) {
    for &(first, last) in &receipt.stored {
        for sequence in first..=last {
            heard.insert((receipt.hospital.clone(), Position { epoch: receipt.epoch, sequence }));
        }
    }
}
