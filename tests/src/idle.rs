//! An idle hospital: 25 wards, one CSV file, and a centre of its own to report to, over TLS and with a login.
//!
//! In: a folder and a pace. Out: [`Idle`], with the config file to start one agent after the other with, and what the
//! centre last heard of them. What an agent costs at rest is measured here, and here it shows which of its functions it
//! uses.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use vardpuls_aggregator::broker::front::logins;
use vardpuls_aggregator::operators::Token;
use vardpuls_shared::clock::{Clock, Time};
use vardpuls_shared::hospital::{HospitalId, RegionCode};

use crate::centre::{Centre, CentreError, Folder};
use crate::hospital::{Hospital, HospitalError, Link, Pace, Setup};
use crate::waiting;
use crate::{centre, hospital};

const WARDS: usize = 25;

/// An idle hospital and its centre.
#[derive(Debug)]
pub struct Idle {
    centre: Centre,
    id: HospitalId,
    config_file: PathBuf,
    drop: PathBuf,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum IdleError {
    /// Its centre.
    #[error(transparent)]
    Centre(#[from] CentreError),
    /// Its folder.
    #[error(transparent)]
    Hospital(#[from] HospitalError),
    /// The centre hears nothing.
    #[error("no report came within {} s", .0.as_secs())]
    Silent(Duration),
}

impl Idle {
    /// Makes both folders and starts the centre in this process; an agent is for the caller to start.
    pub async fn start(folder: &Path, pace: Pace) -> Result<Idle, IdleError> {
        let any = "127.0.0.1:0".parse().expect("an address");
        let files = Folder::create(
            &folder.join("centre"),
            &centre::Setup {
                http: any,
                mqtt: any,
                nation_file: None,
                feed_gap: "200ms",
                sample_every: "5m",
                notice: "an idle hospital".into(),
            },
        )?;
        let (centre_folder, folder) = (folder.join("centre"), folder.join("hospital"));
        let drop = folder.join("drops/beds.csv");
        let setup = setup(&drop, pace);
        let (hospital, card) = Hospital::create(&folder, &setup)?;
        files.enrol(&card)?;
        let password = network(&centre_folder, &files.config_file, &setup.hospital)?;
        let centre = files.start(Clock::System).await?;
        hospital.configure(&setup, &Link { mqtt: centre.mqtt, centre_key: centre.public_key })?;
        let port = centre.mqtts.expect("the config has a listener for the network").port();
        over_tls(&hospital.config_file, port, &centre_folder.join("ca.pem"), &password)?;
        let idle = Idle { centre, id: hospital.id, config_file: hospital.config_file, drop };
        idle.write(0)?;
        Ok(idle)
    }

    /// The config of its agent.
    pub fn config_file(&self) -> &Path {
        &self.config_file
    }

    /// Writes the counts anew; another `shift` gives others.
    pub fn write(&self, shift: usize) -> Result<(), HospitalError> {
        let rows: Vec<String> = (1..=WARDS).map(|n| format!("w{n},20,{}\n", 12 + (n + shift) % 8)).collect();
        write(&self.drop, &format!("ward,staffed,occupied\n{}", rows.concat()))
    }

    /// Waits for a report that the centre receives after `before`, and says when it did.
    pub async fn heard_after(&self, before: Option<Time>, within: Duration) -> Result<Time, IdleError> {
        let last = || self.centre.view().hospitals.get(&self.id)?.hospital.as_ref()?.received_at;
        if !waiting::until(within, || last() > before).await {
            return Err(IdleError::Silent(within));
        }
        last().ok_or(IdleError::Silent(within))
    }

    /// Ends the centre.
    pub async fn stop(self) -> Result<(), CentreError> {
        self.centre.stop().await
    }
}

/// Gives a centre's broker a certificate and a listener for the network, and this hospital a login there; its password.
fn network(folder: &Path, config_file: &Path, hospital: &HospitalId) -> Result<String, HospitalError> {
    let token = Token::make();
    let key = KeyPair::generate().expect("the system has random numbers");
    let names = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    let certificate = names.self_signed(&key).expect("a key signs its own certificate").pem();
    for (name, text) in [
        // Signed by itself, it is its own authority.
        ("ca.pem", certificate.clone()),
        ("broker.pem", certificate),
        ("broker.key", key.serialize_pem()),
        ("logins.toml", logins::block(hospital, token.digest())),
    ] {
        write(&folder.join(name), &text)?;
    }
    let listener = "\n[broker.network]\nlisten = \"127.0.0.1:0\"\ncert-file = \"broker.pem\"\nkey-file = \"broker.key\"\n\
                    logins-file = \"logins.toml\"\n";
    write(config_file, &(read(config_file)? + listener))?;
    Ok(token.text().to_owned())
}

/// Lets an agent's config speak to that listener.
fn over_tls(config_file: &Path, port: u16, ca_file: &Path, password: &str) -> Result<(), HospitalError> {
    let mut config: toml::Table = read(config_file)?.parse().expect("the rig writes TOML");
    let username = config["hospital"].as_str().expect("the rig names the hospital").to_owned();
    let password_file = config_file.with_file_name("password");
    write(&password_file, password)?;
    private(&password_file)?;
    let broker = hospital::table([
        ("url", format!("mqtts://localhost:{port}")),
        ("ca-file", ca_file.to_string_lossy().into_owned()),
        ("username", username),
        ("password-file", password_file.to_string_lossy().into_owned()),
    ]);
    config.insert("broker".into(), broker.into());
    write(config_file, &config.to_string())
}

fn read(file: &Path) -> Result<String, HospitalError> {
    fs::read_to_string(file).map_err(|reason| HospitalError::File { file: file.to_owned(), reason })
}

fn write(file: &Path, text: &str) -> Result<(), HospitalError> {
    fs::write(file, text).map_err(|reason| HospitalError::File { file: file.to_owned(), reason })
}

fn private(file: &Path) -> Result<(), HospitalError> {
    let mode = fs::Permissions::from_mode(0o600);
    fs::set_permissions(file, mode).map_err(|reason| HospitalError::File { file: file.to_owned(), reason })
}

fn setup(drop: &Path, pace: Pace) -> Setup {
    let wards = (1..=WARDS).map(|index| {
        let mut ward = toml::Table::new();
        ward.insert("index".into(), i64::try_from(index).expect("a small number").into());
        ward.insert("id".into(), format!("w{index}").into());
        ward.insert("name".into(), format!("Ward {index}").into());
        ward.insert("care".into(), "general".into());
        ward
    });
    let mut source = hospital::table([("name", "beds"), ("kind", "csv")]);
    source.insert("path".into(), drop.to_string_lossy().into_owned().into());
    let columns = hospital::table([("ward", "ward"), ("staffed", "staffed"), ("occupied", "occupied")]);
    source.insert("columns".into(), columns.into());
    Setup {
        hospital: HospitalId::new("SE0000000000-IDLE").expect("a hospital's id"),
        name: "Idle".into(),
        region: RegionCode::new("01").expect("a region of the default nation"),
        pace,
        wards: wards.collect(),
        sources: vec![source],
    }
}
