//! Hospitals of three wards that sign reports and send each until the centre has receipted it, as agents do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rumqttc::{Client, Event, MqttOptions, Packet, QoS};
use vardpuls_shared::card::Card;
use vardpuls_shared::care::CareType;
use vardpuls_shared::clock::{Clock, Time};
use vardpuls_shared::count::Counts;
use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::key::SigningKey;
use vardpuls_shared::receipt::Receipt;
use vardpuls_shared::report::{Position, Report};
use vardpuls_shared::roster::{Roster, Ward};
use vardpuls_shared::signed::{Envelope, Kind, sign};
use vardpuls_shared::topic::Topic;

/// What is not receipted is sent again so often.
const AGAIN: Duration = Duration::from_millis(200);

/// A pause before a lost connection is made again.
const PAUSE: Duration = Duration::from_millis(20);

/// The wards of every hospital, by roster index from 1.
pub const CARES: [CareType; 3] = [CareType::General, CareType::Icu, CareType::Emergency];

/// The beds of every ward.
pub const BEDS: u16 = 20;

/// One hospital.
#[derive(Debug)]
struct Hospital {
    id: HospitalId,
    key: SigningKey,
    roster: Roster,
    occupied: [u16; CARES.len()],
    sequence: u64,
    /// The newest report, while no receipt has come for it.
    unreceipted: Option<Vec<u8>>,
}

/// Hospitals that report.
#[derive(Clone)]
pub struct Hospitals {
    all: Arc<Mutex<BTreeMap<HospitalId, Hospital>>>,
    epoch: u64,
    client: Client,
}

fn hospital(id: &HospitalId) -> Hospital {
    let mut seed = [0; 32];
    seed[..id.as_str().len()].copy_from_slice(id.as_str().as_bytes());
    let wards = (1..).zip(CARES).map(|(index, care)| Ward {
        index,
        id: format!("w{index}").parse().expect("within the alphabet"),
        name: format!("Ward {index}"),
        care,
        place: None,
        capabilities: Vec::new(),
        contact: None,
    });
    Hospital {
        id: id.clone(),
        key: SigningKey::from_seed(&seed),
        roster: Roster::new(id.clone(), wards.collect()),
        occupied: [BEDS / 2; CARES.len()],
        sequence: 0,
        unreceipted: None,
    }
}

impl Hospital {
    fn sign_report(&mut self, epoch: u64, now: Time) {
        self.sequence += 1;
        let counts = |&occupied: &u16| Counts { staffed: BEDS, occupied, ..Counts::default() };
        let report = Report {
            hospital: self.id.clone(),
            position: Position { epoch, sequence: self.sequence },
            observed_at: now,
            valid_for: 3600,
            roster_version: self.roster.version,
            wards: (1..).zip(self.occupied.iter().map(counts)).collect(),
        };
        self.unreceipted = Some(sign(Kind::Report, &report.encode(), &self.key));
    }
}

/// The enrolment card of a hospital in a region.
pub fn card(id: &HospitalId, region: &str) -> Card {
    let region = region.parse().expect("a region's code");
    Card::new(id.clone(), id.to_string(), region, hospital(id).key.public())
}

impl Hospitals {
    /// Calm hospitals that report through the broker at `mqtt`, whenever it is there.
    pub fn report(ids: &[HospitalId], mqtt: SocketAddr) -> Hospitals {
        let mut options = MqttOptions::new("hospitals", mqtt.ip().to_string(), mqtt.port());
        options.set_keep_alive(Duration::from_secs(5));
        let (client, mut connection) = Client::new(options, 1000);
        let epoch = Clock::System.now().0;
        let all = ids.iter().map(|id| (id.clone(), hospital(id))).collect();
        let hospitals = Hospitals { all: Arc::new(Mutex::new(all)), epoch, client };
        let here = hospitals.clone();
        thread::spawn(move || {
            for event in connection.iter() {
                match event {
                    Ok(Event::Incoming(Packet::ConnAck(_))) => here.connected(),
                    Ok(Event::Incoming(Packet::Publish(message))) => here.receipted(&message.payload),
                    Ok(_) => {}
                    // The centre is dead, and its broker with it.
                    Err(_) => thread::sleep(PAUSE),
                }
            }
        });
        let here = hospitals.clone();
        thread::spawn(move || {
            while here.send_unreceipted().is_ok() {
                thread::sleep(AGAIN);
            }
        });
        for id in ids {
            hospitals.set(id, CARES[0], BEDS / 2);
        }
        hospitals
    }

    fn all(&self) -> std::sync::MutexGuard<'_, BTreeMap<HospitalId, Hospital>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on so many beds of a hospital's ward are occupied; it says so at once.
    pub fn set(&self, id: &HospitalId, care: CareType, occupied: u16) {
        let ward = CARES.iter().position(|&c| c == care).expect("a care type that the hospitals have");
        let mut all = self.all();
        let hospital = all.get_mut(id).expect("one of the hospitals");
        hospital.occupied[ward] = occupied;
        hospital.sign_report(self.epoch, Clock::System.now());
        drop(all);
        // An error says that nobody is connected; then it is sent again.
        let _ = self.send_unreceipted();
    }

    fn send_unreceipted(&self) -> Result<(), rumqttc::ClientError> {
        for hospital in self.all().values() {
            if let Some(report) = &hospital.unreceipted {
                let topic = Topic::Report(hospital.id.clone()).to_string();
                match self.client.try_publish(topic, QoS::AtLeastOnce, false, report.clone()) {
                    Err(ended @ rumqttc::ClientError::Request(_)) => return Err(ended),
                    // What does not fit is sent again.
                    Ok(()) | Err(rumqttc::ClientError::TryRequest(_)) => {}
                }
            }
        }
        Ok(())
    }

    fn connected(&self) {
        // What does not fit is said again soon.
        let _ = self.client.try_subscribe("vardpuls/v1/receipt/+", QoS::AtLeastOnce);
        for hospital in self.all().values() {
            let roster = sign(Kind::Roster, &hospital.roster.encode(), &hospital.key);
            let topic = Topic::Roster(hospital.id.clone()).to_string();
            let _ = self.client.try_publish(topic, QoS::AtLeastOnce, true, roster);
        }
        let _ = self.send_unreceipted();
    }

    fn receipted(&self, payload: &[u8]) {
        let Ok(envelope) = Envelope::open(Kind::Receipt, payload) else { return };
        let Ok(receipt) = Receipt::decode(envelope.unverified_payload()) else { return };
        if let Some(hospital) = self.all().get_mut(&receipt.hospital)
            && receipt.stored.iter().any(|(from, to)| (*from..=*to).contains(&hospital.sequence))
        {
            hospital.unreceipted = None;
        }
    }
}
