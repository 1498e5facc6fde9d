//! The configs of the fleet, as an operator would write them.

use std::path::Path;

use vardpuls_shared::hospital::HospitalId;
use vardpuls_shared::key::PublicKey;

use super::load;

/// Mosquitto's: in memory only, so that a killed broker has forgotten everything.
pub(super) fn broker_config(port: u16) -> String {
    format!(
        "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\n\
         max_inflight_messages 1000\nmax_queued_messages 20000\nlog_dest stderr\n"
    )
}

/// The aggregator's.
pub(super) fn centre_config(mqtt_port: u16, http_port: u16, external: bool) -> String {
    let broker = if external {
        format!("url = \"mqtt://127.0.0.1:{mqtt_port}\"")
    } else {
        format!("listen = \"127.0.0.1:{mqtt_port}\"")
    };
    format!(
        "key-file = \"centre.key\"\nhospitals-dir = \"hospitals.d\"\n[broker]\n{broker}\n\
         [store]\npath = \"vardpuls.db\"\n[http]\nlisten = \"127.0.0.1:{http_port}\"\n"
    )
}

/// An agent's: every change is a report, and none comes without a change, so that an outbox can drain.
pub(super) fn agent_config(id: &HospitalId, folder: &Path, mqtt_port: u16, centre_key: PublicKey) -> String {
    let folder = folder.display();
    let head = format!(
        "hospital = \"{id}\"\nname = \"{id}\"\nregion = \"01\"\nstate-dir = \"{folder}/state\"\n\
         key-file = \"{folder}/agent.key\"\ncentre-key = \"{centre_key}\"\n\
         [broker]\nurl = \"mqtt://127.0.0.1:{mqtt_port}\"\n\
         [report]\nheartbeat = \"1h\"\nmin-gap = \"0s\"\njitter = \"0s\"\nvalid-for = \"2h\"\n\
         [outbox]\nbacklog-rate = 500\n"
    );
    let ward = |n| format!("[[ward]]\nindex = {n}\nid = \"w{n}\"\nname = \"Ward {n}\"\ncare = \"general\"\n");
    let wards: String = (1..=load::WARDS).map(ward).collect();
    let source = format!(
        "[[source]]\nname = \"beds\"\nkind = \"csv\"\npath = \"{folder}/beds.csv\"\nscan = \"100ms\"\nsettle = \"0s\"\n\
         [source.columns]\nward = \"Ward\"\nstaffed = \"Staffed\"\noccupied = \"Occupied\"\n"
    );
    head + &wards + &source
}

/// What a hospital gives the centre.
pub(super) fn enrolment_card(id: &HospitalId, key: &PublicKey) -> String {
    format!(
        "hospital = \"{id}\"\nname = \"{id}\"\nregion = \"01\"\npublic-key = \"{key}\"\nfingerprint = \"{}\"\n",
        key.fingerprint()
    )
}
