//! A simulated hospital's integration engine: HL7 v2 messages about who comes and goes, and the agent's setup that
//! listens to them.
//!
//! In: the occupied beds of each ward. Out: an A01 for each patient more and an A03 for each one less, over MLLP, and
//! the agent's answers awaited. Staffed beds and the rest come from the hospital's export ([`super::drop`]), which is the
//! snapshot that the census of messages begins with and is corrected by.
//!
//! The patients are numbers: a visit's is made of the time of the first message and a count.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use vardpuls_agent::source::adt::frame::framed;
use vardpuls_shared::clock::Time;
use vardpuls_shared::count::Counts;

use super::{Setup, drop, table};
use crate::adt::mllp::{Answer, Line};
use crate::nation;

/// How long the agent may take to answer what was sent at once.
const PATIENCE: Duration = Duration::from_secs(5);

/// When those came who were there at the first export: before it, so that it holds them.
const LONG_BEFORE: Duration = Duration::from_mins(10);

/// A free port for an agent to listen on.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// The agent of a simulated hospital that exports to `drops`, and whose engine sends to `listen`.
pub fn setup(hospital: &nation::Hospital, drops: &Path, listen: SocketAddr) -> Setup {
    let places = hospital.wards.iter().map(|ward| (ward.id.to_string(), ward.id.as_str().into()));
    let mut source = table([
        ("name", "adt"),
        ("kind", "adt"),
        ("zone", "UTC"),
        ("charset", "utf-8"),
        ("reconcile-with", drop::NAME),
    ]);
    source.insert("listen".into(), listen.to_string().into());
    source.insert("places".into(), places.collect::<toml::Table>().into());
    drop::reading(hospital, vec![drop::source(hospital, drops), source])
}

/// A hospital's engine.
#[derive(Debug)]
pub struct Engine {
    agent: SocketAddr,
    line: Option<Line>,
    /// By ward: the visits that the agent knows, the oldest first.
    visits: BTreeMap<u16, Vec<String>>,
    /// When the first export was made, and who was there: they came before it.
    first: Option<(Time, BTreeMap<u16, u16>)>,
    sent: u64,
}

impl Engine {
    /// Will send to this address.
    pub fn new(agent: SocketAddr) -> Engine {
        Engine { agent, line: None, visits: BTreeMap::new(), first: None, sent: 0 }
    }

    /// Tells the agent who came and who went until `counts`, which the hospital exports at the same time if this is the
    /// first. Where it does not answer, all of it is told again the next time.
    pub async fn tell(
        &mut self,
        hospital: &nation::Hospital,
        counts: &BTreeMap<u16, Counts>,
        at: Time,
    ) -> io::Result<()> {
        let before = self.sent;
        let (visits, frames, messages) = self.write(hospital, counts, at);
        if messages == 0 {
            return Ok(());
        }
        let told = self.exchange(&frames, messages).await;
        if told.is_ok() {
            self.visits = visits;
        } else {
            // What was half told is told anew, of the same visits, on a new line.
            (self.line, self.sent) = (None, before);
        }
        told
    }

    async fn exchange(&mut self, frames: &[u8], messages: usize) -> io::Result<()> {
        let mut line = match self.line.take() {
            Some(line) => line,
            None => Line::connect(self.agent).await?,
        };
        line.send(frames).await?;
        let mut answered = 0;
        while answered < messages {
            for answer in line.answers(PATIENCE).await? {
                let answer = Answer::read(&answer).ok_or(io::ErrorKind::InvalidData)?;
                if answer.code != "AA" {
                    return Err(io::Error::other(format!("{} for {}: {}", answer.code, answer.control, answer.reason)));
                }
                answered += 1;
            }
        }
        self.line = Some(line);
        Ok(())
    }

    /// The visits as they are once `counts` hold, and the frames that say so. Pure but for the numbers given out.
    fn write(
        &mut self,
        hospital: &nation::Hospital,
        counts: &BTreeMap<u16, Counts>,
        at: Time,
    ) -> (BTreeMap<u16, Vec<String>>, Vec<u8>, usize) {
        let of_now = || counts.iter().map(|(&ward, counts)| (ward, counts.occupied)).collect();
        let (begun, first) = self.first.get_or_insert_with(|| (at, of_now()));
        let nobody_told = self.visits.is_empty();
        let (mut visits, mut frames, mut messages) = (self.visits.clone(), Vec::new(), 0);
        for ward in &hospital.wards {
            let Some(counts) = counts.get(&ward.index) else { continue };
            let here = visits.entry(ward.index).or_default();
            let mut say = |trigger: &str, visit: &str, sent: u64, happened: Time| {
                framed(message(trigger, ward.id.as_str(), visit, sent, happened).as_bytes(), &mut frames);
                messages += 1;
            };
            let were_here = if nobody_told { first.get(&ward.index).copied().unwrap_or(0) } else { 0 };
            for (until, happened) in [(were_here, begun.minus(LONG_BEFORE)), (counts.occupied, at)] {
                while here.len() < usize::from(until) {
                    self.sent += 1;
                    let visit = format!("{}-{}", begun.0, self.sent);
                    say("A01", &visit, self.sent, happened);
                    here.push(visit);
                }
            }
            while here.len() > usize::from(counts.occupied) {
                self.sent += 1;
                let visit = here.remove(0);
                say("A03", &visit, self.sent, at);
            }
        }
        (visits, frames, messages)
    }
}

fn message(trigger: &str, ward: &str, visit: &str, number: u64, at: Time) -> String {
    let time: String = at.to_string()[..19].chars().filter(char::is_ascii_digit).collect();
    format!(
        "MSH|^~\\&|PAS|DEMO|VARDPULS||{time}||ADT^{trigger}|{visit}-{number}|P|2.5||||||UNICODE UTF-8\r\
         EVN|{trigger}|{time}\rPV1|1|I|{ward}||||||||||||||||{visit}\r"
    )
}

#[cfg(test)]
mod tests {
    use vardpuls_agent::source::adt::hl7::{Message, Name};

    use super::*;
    use crate::nation::Nation;

    #[test]
    fn as_many_come_and_go_as_the_counts_say() {
        let nation = Nation::sweden(1);
        let hospital = &nation.hospitals[0];
        let mut engine = Engine::new(SocketAddr::from(([127, 0, 0, 1], 1)));
        let mut counts: BTreeMap<u16, Counts> = BTreeMap::new();
        let index = hospital.wards[0].index;
        for (occupied, expected) in [(3, ["A01", "A01", "A01"].as_slice()), (1, &["A03", "A03"]), (1, &[])] {
            counts.insert(index, Counts { staffed: 9, occupied, extras: BTreeMap::new() });
            let (visits, frames, messages) = engine.write(hospital, &counts, Time(1_700_000_000_000));
            engine.visits = visits;
            assert_eq!(messages, expected.len());
            let texts: Vec<&[u8]> = frames.split(|&b| b == 0x1c).filter(|text| text.len() > 2).collect();
            let told: Vec<String> = texts
                .iter()
                .map(|text| {
                    let at = text.iter().position(|&b| b == 0x0b).expect("a frame") + 1;
                    let message = Message::parse(&text[at..]).expect("HL7");
                    let visit = message.segments().find(|s| s.name == Name::Pv1).expect("PV1");
                    let place = visit.field(3).component(1).text(encoding_rs::UTF_8);
                    assert_eq!(place, hospital.wards[0].id.as_str());
                    message.header().field(9).component(2).text(encoding_rs::UTF_8)
                })
                .collect();
            assert_eq!(told, expected);
        }
    }
}
