//! What a config may say, and how each mistake in one is told.

use std::collections::BTreeSet;

use vardpuls_shared::care::CareType;
use vardpuls_shared::count::Extra;
use vardpuls_shared::roster::Capability;

use super::*;
use crate::source::http::Auth;
use crate::source::mapping::{Field, TimeFrom, WardFrom};
use crate::source::polled::{PolledKind, PolledSpec};
use crate::source::sql::{Database, ServerTls};

const HEAD: &str = r#"hospital = "SE0000000000-0001"
name = "Exempelsjukhuset"
region = "01"
state-dir = "state"
key-file = "/etc/v/agent.key"
centre-key = "ed25519:11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
"#;
const BROKER: &str = "[broker]\nurl = \"mqtt://b.example\"\n";
const WARD: &str = "[[ward]]\nindex = 1\nid = \"iva\"\nname = \"IVA\"\ncare = \"icu\"\n";
const SOURCE: &str = "[[source]]\nname = \"beds\"\nkind = \"csv\"\npath = \"drops/beds.csv\"\nward = \"iva\"\n";
const COLUMNS: &str = "[source.columns]\noccupied = \" Belagda\"\n";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(Path::new("/etc/v/agent.toml"), text).map_err(|e| e.to_string())
}

/// The error of a config, without the file's name.
fn error(text: &str) -> String {
    let error = parse(text).expect_err(text);
    error.strip_prefix("/etc/v/agent.toml, ").expect("the file").to_owned()
}

fn csv(config: &Config) -> &crate::source::csv::CsvSpec {
    let SourceKind::Csv(spec) = &config.sources[0].kind else { panic!("{:?}", config.sources) };
    spec
}

#[test]
fn the_shipped_config_is_right() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/agent.toml");
    let config = Config::load(&file).expect("the shipped file");
    assert_eq!((config.report, config.outbox), (ReportConfig::default(), OutboxConfig::default()));
    assert_eq!(config.wards.len(), 2);
}

#[test]
fn the_shortest_config_has_defaults_and_paths_beside_the_file() {
    let config = parse(&[HEAD, BROKER, WARD, SOURCE, COLUMNS].concat()).expect("right");
    assert_eq!(config.state_dir, Path::new("/etc/v/state"));
    assert_eq!(config.key_file, Path::new("/etc/v/agent.key"));
    assert_eq!(config.broker.to_string(), "mqtt://b.example:1883");
    assert_eq!(config.report, ReportConfig::default());
    let spec = csv(&config);
    assert_eq!(spec.path, Path::new("/etc/v/drops/beds.csv"));
    assert_eq!((spec.scan, spec.settle, spec.delimiter), (SECOND * 5, SECOND / 5, b','));
    assert_eq!(spec.mapping.not_reported, BTreeSet::from([String::new()]));
    assert_eq!(spec.mapping.ward, WardFrom::Constant("iva".parse().expect("an id")));
    assert_eq!(spec.mapping.counts, [(Field::Occupied, "Belagda".to_owned())].into());
    assert_eq!(spec.mapping.time, TimeFrom::Reading);
}

#[test]
fn a_full_config_has_all_its_parts() {
    let text = [
        HEAD,
        "[broker]\nurl = \"mqtts://[::1]:99/\"\nca-file = \"ca\"\nclient-cert-file = \"c\"\nclient-key-file = \"k\"\n\
         username = \"u\"\npassword-file = \"p\"\n",
        "[report]\nheartbeat = \"10s\"\nmin-gap = \"0s\"\njitter = \"0s\"\nvalid-for = \"2m\"\n",
        "[outbox]\nmax-age = \"2h\"\nmax-bytes = 1048576\nbacklog-rate = 1\n",
        "[[ward]]\nindex = 9\nid = \"b\"\nname = \"B\"\ncare = \"general\"\nstaffed = 10\nlatitude = 59\nlongitude = 18.1\n\
         capabilities = [\"ecmo\", \"burns\"]\ncontact = \"bed coordinator\"\n",
        WARD,
        "[[source]]\nname = \"beds\"\nkind = \"csv\"\nmax-age = \"24h\"\npath = \"/drops/beds.csv\"\nscan = \"1s\"\nsettle = \"0s\"\n\
         charset = \"latin1\"\ndelimiter = \"\\t\"\nnot-reported = [\"\", \"pas d'information disponible \"]\n",
        "[source.columns]\nward = \"Avd\"\nstaffed = \"S\"\noccupied = \"O\"\nover_24h = \"Ö\"\ntime = \"T\"\n",
        "[source.time]\nzone = \"America/Montreal\"\nformat = \"%Y-%m-%dT%H:%M\"\n",
        "[source.rows]\n\"No. permis \" = [\"51\", \"52 \"]\n[source.wards]\n\"A12\" = \"b\"\n",
    ]
    .concat();
    let config = parse(&text).expect("right");
    assert_eq!(config.broker.to_string(), "mqtts://[::1]:99");
    let client = ClientCert { cert_file: "/etc/v/c".into(), key_file: "/etc/v/k".into() };
    assert_eq!(config.broker.tls, Some(Tls { ca_file: "/etc/v/ca".into(), client: Some(client) }));
    assert_eq!(config.broker.login, Some(Login { username: "u".into(), password_file: "/etc/v/p".into() }));
    assert_eq!(config.report.policy().min_gap, Duration::ZERO);
    assert_eq!(config.outbox.limits().max_age, SECOND * 7200);
    let ward = &config.wards[1];
    assert_eq!((ward.ward.index, ward.staffed, ward.ward.care), (9, Some(10), CareType::General));
    assert_eq!(ward.ward.capabilities, [Capability::ECMO, Capability::BURNS]);
    assert_eq!(ward.ward.place.map(vardpuls_shared::roster::Place::degrees), Some((59.0, 18.1)));
    assert_eq!(config.roster().wards.len(), 2);
    assert_eq!(config.sources[0].max_age, Some(SECOND * 86_400));
    let spec = csv(&config);
    assert_eq!((spec.charset, spec.delimiter), (encoding_rs::WINDOWS_1252, b'\t'));
    assert!(spec.mapping.not_reported.contains("pas d'information disponible"));
    assert_eq!(spec.mapping.counts.get(&Field::Extra(Extra::OVER_24H)).map(String::as_str), Some("Ö"));
    assert_eq!(spec.mapping.rows["No. permis"], BTreeSet::from(["51".to_owned(), "52".to_owned()]));
    let WardFrom::Column { header, names } = &spec.mapping.ward else { panic!("a column") };
    assert_eq!(header, "Avd");
    // Wards go by their own ids as well.
    assert_eq!(names.keys().collect::<Vec<_>>(), ["A12", "b", "iva"]);
    assert!(
        matches!(&spec.mapping.time, TimeFrom::Column { header, format } if header == "T" && format.pattern() == "%Y-%m-%dT%H:%M")
    );
}

#[test]
fn errors_of_the_head_name_line_and_key() {
    let rest = [WARD, SOURCE, COLUMNS].concat();
    for (head, expected) in [
        (HEAD.replace("region = \"01\"\n", "") + BROKER, "line 1: missing field `region`"),
        (HEAD.replace("\"01\"", "\"0/1\"") + BROKER, "line 3, region: the character '/'"),
        (HEAD.replace("ed25519:", "rsa:") + BROKER, "line 6, centre-key: a public key is written"),
        (HEAD.replace("name = ", "nam = ") + BROKER, "line 2, nam: unknown field `nam`"),
        (HEAD.replace("Exempelsjukhuset", " ") + BROKER, "line 2, name: must have 1 to 120 bytes"),
        (HEAD.replace("\"state\"", "state") + BROKER, "line 4, state-dir: "),
        (HEAD.to_owned() + "[broker]\nurl = \"http://h\"\n", "line 8, broker.url: write mqtt://HOST"),
        (HEAD.to_owned() + "[broker]\nurl = \"mqtts://h\"\n", "line 7, broker.ca-file: is missing"),
        (HEAD.to_owned() + "[broker]\nurl = \"mqtt://h\"\nca-file = \"c\"\n", "line 9, broker.ca-file: has no effect"),
        (
            HEAD.to_owned() + "[broker]\nurl = \"mqtt://h\"\nusername = \"u\"\n",
            "line 7, broker.password-file: is missing",
        ),
        (
            HEAD.to_owned() + "[broker]\nurl = \"mqtts://h\"\nca-file = \"c\"\nclient-key-file = \"k\"\n",
            "line 7, broker.client-cert-file: is missing",
        ),
        (HEAD.to_owned() + "[broker]\nuser = 1\nurl = \"mqtt://h\"\n", "line 8, broker.user: unknown field"),
        (
            HEAD.to_owned() + BROKER + "[report]\nheartbeat = \"1 minute\"\n",
            "line 10, report.heartbeat: \"1 minute\" is not a duration",
        ),
        (
            HEAD.to_owned() + BROKER + "[report]\nvalid-for = \"60s\"\n",
            "line 10, report.valid-for: must be longer than heartbeat",
        ),
        (HEAD.to_owned() + BROKER + "[report]\nmin-gap = \"2m\"\n", "line 10, report.min-gap: must not be longer"),
        (HEAD.to_owned() + BROKER + "[outbox]\nbacklog-rate = 0\n", "line 10, outbox.backlog-rate: must be at least 1"),
    ] {
        let error = error(&(head + &rest));
        assert!(error.starts_with(expected), "expected {expected:?}, found {error:?}");
    }
}

#[test]
fn errors_of_wards_name_line_and_key() {
    let before = [HEAD, BROKER].concat();
    let after = [SOURCE, COLUMNS].concat();
    let second =
        |changes: &str| format!("{WARD}[[ward]]\nindex = 2\nid = \"two\"\nname = \"Two\"\ncare = \"icu\"\n{changes}");
    for (wards, expected) in [
        (String::new(), "line 1, ward: has 0 wards"),
        (WARD.replace("icu", "intensive"), "line 13, ward.care: \"intensive\" is not a care type; the names are icu"),
        (WARD.replace("\"iva\"", "\"i v a\""), "line 11, ward.id: the character ' '"),
        (WARD.replace("index = 1", "index = 70000"), "line 10, ward.index: "),
        (second("").replace("index = 2", "index = 1"), "line 15, ward.index: 1 is also the index of ward number 1"),
        (second("").replace("\"two\"", "\"iva\""), "line 16, ward.id: \"iva\" is also the id of ward number 1"),
        (second("latitude = 1.0\n"), "line 14, ward.longitude: is missing beside latitude"),
        (second("latitude = 91.0\nlongitude = 0.0\n"), "line 19, ward.latitude: must be"),
        (second("staffed = 10000\n"), "line 19, ward.staffed: must be at most 9999"),
        (
            second("capabilities = [\"flying\"]\n"),
            "line 19, ward.capabilities: \"flying\" is not a capability; the words are ventilation",
        ),
        (second("colour = 1\n"), "line 19, ward.colour: unknown field"),
    ] {
        let error = error(&[before.as_str(), &wards, &after].concat());
        assert!(error.starts_with(expected), "expected {expected:?}, found {error:?}");
    }
}

#[test]
fn errors_of_sources_name_line_and_key() {
    let before = [HEAD, BROKER, WARD].concat();
    let with = |changes: &str| format!("{SOURCE}{changes}{COLUMNS}");
    let columns = |columns: &str| format!("{SOURCE}[source.columns]\n{columns}");
    for (sources, expected) in [
        (String::new(), "line 1, source: is missing: write at least one"),
        (SOURCE.replace("csv\"", "xls\"") + COLUMNS, "line 16, source.kind: unknown variant `xls`"),
        (SOURCE.replace("kind = \"csv\"\n", "") + COLUMNS, "line 14, source: missing field `kind`"),
        (SOURCE.to_owned(), "line 14, source: missing field `columns`"),
        (with("") + &with(""), "line 22, source.name: another source has this name already"),
        (with("colour = 1\n"), "line 19, source.colour: unknown field `colour`"),
        (with("scan = \"5\"\n"), "line 19, source.scan: \"5\" is not a duration"),
        (with("max-age = \"5\"\n"), "line 19, source.max-age: \"5\" is not a duration"),
        (with("charset = \"klingon\"\n"), "line 19, source.charset: \"klingon\" is not a charset"),
        (with("delimiter = \"ö\"\n"), "line 19, source.delimiter: must be one ASCII character"),
        (
            with("").replace("ward = \"iva\"", "ward = \"medicin\""),
            "line 18, source.ward: medicin is not the id of any [[ward]] that is no group",
        ),
        (with("").replace("ward = \"iva\"\n", ""), "line 14, source.ward: is missing"),
        (columns("ward = \"W\"\noccupied = \"O\"\n"), "line 18, source.ward: stands beside columns.ward"),
        (columns("occupied = \"O\"\nbeds = \"B\"\n"), "line 21, source.columns.beds: is not a word of ours"),
        (columns("occupied = \" \"\n"), "line 20, source.columns.occupied: must be the name"),
        (columns("time = \"T\"\noccupied = \"O\"\n"), "line 14, source.time: is missing"),
        (columns("staffed = \"S\"\n"), "line 14, source: no source gives occupied"),
        (columns(""), "line 19, source.columns: names no count"),
        (
            columns("occupied = \"O\"\n[source.time]\nzone = \"UTC\"\nformat = \"%Y-%m-%d %H:%M\"\n"),
            "line 19, source.columns.time: is missing",
        ),
        (
            columns(
                "time = \"T\"\noccupied = \"O\"\n[source.time]\nzone = \"Europe/Gotham\"\nformat = \"%Y-%m-%d %H:%M\"\n",
            ),
            "line 23, source.time.zone: \"Europe/Gotham\" is not a time zone",
        ),
        (
            columns("time = \"T\"\noccupied = \"O\"\n[source.time]\nzone = \"UTC\"\nformat = \"%H:%M\"\n"),
            "line 24, source.time.format: \"%H:%M\"",
        ),
        (with("") + "[source.rows]\n\"No. permis\" = []\n", "line 22, source.rows.\"No. permis\": accepts no value"),
        (with("") + "[source.wards]\n\"A\" = \"iva\"\n", "line 21, source.wards: has no effect"),
        (
            with("").replace("ward = \"iva\"\n", "") + "ward = \"W\"\n[source.wards]\n\"A 1\" = \"b\"\n",
            "line 22, source.wards.\"A 1\": b is not the id of any [[ward]] that is no group",
        ),
    ] {
        let error = error(&(before.clone() + &sources));
        assert!(error.starts_with(expected), "expected {expected:?}, found {error:?}");
    }
}

#[test]
fn the_worked_examples_are_right() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/SOURCES.md");
    let page = std::fs::read_to_string(file).expect("the page");
    let blocks = page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let examples: Vec<_> = blocks.filter(|block| block.starts_with("[[source]]")).collect();
    assert_eq!(examples.len(), 6);
    let second = WARD.replace("index = 1", "index = 2").replace("\"iva\"", "\"med-1\"");
    let beds = examples.iter().find(|example| example.contains("name = \"beds\"\nkind = \"sql\"")).expect("SQL");
    for example in &examples {
        // A census of messages begins with the counts of another source.
        let also = if example.contains("reconcile-with = \"beds\"") { beds } else { "" };
        let config = parse(&[HEAD, BROKER, WARD, &second, example, also].concat());
        if example.contains("odbc:") && !cfg!(feature = "odbc") {
            let refused = config.expect_err("not built in");
            assert!(refused.contains("source.url: needs an agent with ODBC"), "{refused}");
        } else {
            assert!(config.is_ok(), "{config:?}");
        }
    }
}

#[test]
fn small_wards_must_be_in_a_group_that_is_large_enough() {
    let ward = |index: u16, id: &str, keys: &str| {
        format!("[[ward]]\nindex = {index}\nid = \"{id}\"\nname = \"W\"\ncare = \"general\"\n{keys}\n")
    };
    let rest = |wards: String| [HEAD, BROKER, "[privacy]\nmin-beds = 10\n", &wards, SOURCE, COLUMNS].concat();
    let iva = ward(1, "iva", "staffed = 8");
    let b = ward(2, "b", "staffed = 4");
    let group = ward(9, "ab", "members = [\"iva\", \"b\"]");
    let config = parse(&rest([iva.as_str(), &b, &group].concat())).expect("right");
    assert_eq!(config.roster().wards.iter().map(|w| w.index).collect::<Vec<_>>(), [9]);
    for (wards, expected) in [
        (iva.clone(), "line 13, ward.id: iva has 8 beds, fewer than the 10 of privacy.min-beds"),
        (ward(1, "iva", ""), "line 11, ward.staffed: is missing: privacy.min-beds needs"),
        (iva.clone() + &group, "line 22, ward.members: b is not the id of any [[ward]]"),
        (
            iva.clone() + &b + &group.replace("members", "staffed = 9\nmembers"),
            "line 28, ward.staffed: has no effect on a group",
        ),
        (
            iva.clone() + &b + &group + &ward(10, "c", "members = [\"b\"]"),
            "line 34, ward.members: b is a member of ab already",
        ),
        (iva + &b + &group + &ward(10, "c", "members = [\"ab\"]"), "line 34, ward.members: ab is a group itself"),
    ] {
        let error = error(&rest(wards));
        assert!(error.starts_with(expected), "expected {expected:?}, found {error:?}");
    }
}

#[test]
fn polled_sources_have_defaults_and_paths_beside_the_file() {
    let json = "[[source]]\nname = \"api\"\nkind = \"json\"\nurl = \"https://h.example/beds\"\nbearer-token-file = \"t\"\n\
        [source.pointers.iva]\noccupied = \"/icu\"\n";
    let sql_text = "[[source]]\nname = \"db\"\nkind = \"sql\"\nurl = \"mariadb://h.example/beds\"\nusername = \"u\"\n\
        query = \"SELECT 1 ; \"\nward = \"iva\"\n[source.columns]\noccupied = \"o\"\n";
    let config = parse(&[HEAD, BROKER, WARD, json, sql_text].concat()).expect("right");
    let polled = |at: usize| {
        let SourceKind::Polled(spec) = &config.sources[at].kind else { panic!("{:?}", config.sources) };
        spec.as_ref().clone()
    };
    let PolledSpec { every, kind: PolledKind::Json(json) } = polled(0) else { panic!("json") };
    assert_eq!((every, json.http.timeout, json.http.max_bytes), (SECOND * 60, SECOND * 20, 8 << 20));
    assert_eq!(json.http.auth, Auth::Bearer("/etc/v/t".into()));
    let PolledSpec { kind: PolledKind::Sql(sql), .. } = polled(1) else { panic!("sql") };
    assert_eq!((sql.query.as_str(), sql.database.to_string().as_str()), ("SELECT 1", "mysql://h.example:3306/beds"));
    let Database::MySql(server) = sql.database else { panic!("mysql") };
    assert_eq!(server.tls, Some(ServerTls { ca_file: None, client: None }));
    for scheme in ["mssql", "sqlserver"] {
        let config = parse(&[HEAD, BROKER, WARD, &sql_text.replace("mariadb", scheme)].concat()).expect("right");
        let SourceKind::Polled(spec) = &config.sources[0].kind else { panic!("{:?}", config.sources) };
        let PolledKind::Sql(sql) = &spec.kind else { panic!("sql") };
        assert_eq!(sql.database.to_string(), "mssql://h.example:1433/beds");
    }
}

#[test]
fn errors_of_polled_sources_name_line_and_key() {
    let before = [HEAD, BROKER, WARD].concat();
    let json = |keys: &str| {
        format!(
            "[[source]]\nname = \"api\"\nkind = \"json\"\n{keys}\narray = \"/wards\"\nward = \"iva\"\n[source.columns]\noccupied = \"/o\"\n"
        )
    };
    let sql = |keys: &str| {
        format!(
            "[[source]]\nname = \"db\"\nkind = \"sql\"\n{keys}\nward = \"iva\"\n[source.columns]\noccupied = \"o\"\n"
        )
    };
    let url = "url = \"https://h.example/beds\"\n";
    let database = "url = \"postgres://h.example/beds\"\nusername = \"u\"\nquery = \"SELECT 1\"\n";
    for (source, expected) in [
        (json(""), "line 14, source: missing field `url`"),
        (json("url = \"ftp://h/x\""), "line 17, source.url: is no address; write http"),
        (json("url = \"https://me:secret@h/x\""), "line 17, source.url: holds a user or a password"),
        (
            json("url = \"http://h.example/x\"\nbearer-token-file = \"t\""),
            "line 18, source.bearer-token-file: would go over the network in clear",
        ),
        (json("url = \"http://h.example/x\"\nca-file = \"t\""), "line 18, source.ca-file: has no effect"),
        (json(&format!("{url}username = \"u\"")), "line 14, source.password-file: is missing"),
        (json(&format!("{url}client-key-file = \"u\"")), "line 14, source.client-cert-file: is missing"),
        (json(&format!("{url}every = \"0s\"")), "line 18, source.every: must be at least 1s"),
        (json(&format!("{url}colour = 1")), "line 18, source.colour: unknown field"),
        (
            json(&format!("{url}header-files = {{ \"a b\" = \"f\" }}")),
            "line 18, source.header-files.\"a b\": is not the name",
        ),
        (json(url).replace("\"/o\"", "\"o\""), "line 22, source.columns.occupied: must be a JSON pointer"),
        (json(url).replace("\"/wards\"", "\"wards\""), "line 19, source.array: must be a JSON pointer"),
        (
            json(url).replace("array = \"/wards\"\nward = \"iva\"\n[source.columns]", "[source.pointers.med]"),
            "line 19, source.pointers.med: med is not the id of any [[ward]] that is no group",
        ),
        (sql("url = \"oracle://h/x\"\nquery = \"SELECT 1\""), "line 17, source.url: write postgres://"),
        (sql("url = \"postgres://u:p@h/x\"\nquery = \"SELECT 1\""), "line 17, source.url: holds a user"),
        (sql("url = \"postgres://h\"\nquery = \"SELECT 1\""), "line 17, source.url: write postgres://"),
        (sql("url = \"postgres://h/x\"\nquery = \"SELECT 1\""), "line 14, source.username: is missing"),
        (
            sql("url = \"sqlite:x.db\"\nusername = \"u\"\nquery = \"SELECT 1\""),
            "line 18, source.username: has no effect",
        ),
        (sql("url = \"sqlite:x.db\"\ntls = \"verify\"\nquery = \"SELECT 1\""), "line 18, source.tls: has no effect"),
        (sql(&database.replace("SELECT 1", "SELECT 1; DELETE FROM x")), "line 19, source.query: must be one statement"),
        (sql(&database.replace("SELECT 1", " ;")), "line 19, source.query: must be a statement"),
        (
            sql(&format!("{}socket = \"s\"", database.replace("postgres", "mssql"))),
            "line 20, source.socket: has no effect on SQL Server",
        ),
        (
            sql(&format!("{}client-cert-file = \"c\"", database.replace("postgres", "sqlserver"))),
            "line 20, source.client-cert-file: has no effect on SQL Server",
        ),
        (
            sql(&format!("{database}tls = \"off\"\nca-file = \"c\"")),
            "line 21, source.ca-file: has no effect without TLS",
        ),
    ] {
        let error = error(&(before.clone() + &source));
        assert!(error.starts_with(expected), "expected {expected:?}, found {error:?}");
    }
}

#[test]
fn a_document_that_is_no_toml_names_its_line() {
    let text = HEAD.replace("region = \"01\"", "region = \"01");
    assert!(error(&text).starts_with("line 3, region: "), "{}", error(&text));
    let missing = Config::load(Path::new("no/such/agent.toml")).expect_err("missing").to_string();
    assert!(missing.starts_with("no/such/agent.toml: cannot be read: "), "{missing}");
}

#[test]
fn durations_have_a_unit() {
    assert_eq!(parse_duration("200ms"), Some(Duration::from_millis(200)));
    assert_eq!(parse_duration("14d"), Some(SECOND * 14 * 86_400));
    for wrong in ["", "5", "s", "-1s", "1.5h", "1 s", "1w", "99999999999999999999d"] {
        assert_eq!(parse_duration(wrong), None, "{wrong}");
    }
}
