//! A hundred rules: what a nation, its regions, hospitals and wards are watched for, in ladders whose
//! greater steps silence the lesser ones.

use std::fmt::Write;
use std::path::Path;

use vardpuls_aggregator::alert::rules::Rules;
use vardpuls_aggregator::config::document::Document;

const CARES: [&str; 4] = ["icu", "emergency", "general", "paediatric"];

/// The hundred.
pub(super) fn rules() -> Rules {
    let mut text = String::from("time-zone = \"Europe/Stockholm\"\n");
    nation(&mut text);
    regions(&mut text);
    hospitals(&mut text);
    wards(&mut text);
    let rules = Rules::parse(&Document::of(Path::new("the benchmark's rules"), &text));
    let rules = rules.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(rules.len(), 100);
    rules
}

/// A rule; `more` are further keys.
fn rule(text: &mut String, name: &str, scope: &str, measure: &str, (raise, clear): (f64, f64), more: &str) {
    let written = write!(
        text,
        "[[rule]]\nname = \"{name}\"\ntitle = \"{name}\"\nscope = \"{scope}\"\nmeasure = \"{measure}\"\n\
         raise = {{ at = {raise:?}, for = \"10m\" }}\nclear = {{ at = {clear:?}, for = \"30m\" }}\n\
         severity = \"warning\"\nresponse = \"Call.\"\n{more}\n"
    );
    written.expect("a string takes everything");
}

/// Occupancy of a care type at rising levels; each is silenced by the next, and all by `above`.
fn ladder(text: &mut String, scope: &str, care: &str, levels: &[f64], above: Option<&str>) {
    for (n, &level) in levels.iter().enumerate() {
        let next = levels.get(n + 1).map(|next| format!("{scope}-{care}-{next}"));
        let by: Vec<String> = next.into_iter().chain(above.map(|scope| format!("{scope}-{care}-100"))).collect();
        let of = if care == "all" { String::new() } else { format!("care = [\"{care}\"]\n") };
        let more = format!("{of}min-beds = 2\ninhibited-by = {by:?}\n");
        rule(text, &format!("{scope}-{care}-{level}"), scope, "occupancy", (level, level - 5.0), &more);
    }
}

fn nation(text: &mut String) {
    ladder(text, "nation", "all", &[90.0, 95.0, 100.0], None);
    for care in CARES {
        ladder(text, "nation", care, &[100.0], None);
    }
    rule(text, "nation-icu-free", "nation", "available-ratio", (10.0, 13.0), "care = [\"icu\"]");
    rule(text, "nation-coverage", "nation", "coverage", (80.0, 90.0), "");
    rule(text, "nation-rise", "nation", "rise", (3.0, 1.0), "over = \"3h\"");
    rule(text, "nation-regions-full", "nation", "children", (3.0, 2.0), "of = \"region-icu-100\"");
    rule(text, "nation-wards-full", "nation", "children", (400.0, 300.0), "of = \"ward-all-115\"");
}

fn regions(text: &mut String) {
    ladder(text, "region", "all", &[90.0, 95.0, 100.0], Some("nation"));
    for care in CARES {
        ladder(text, "region", care, &[90.0, 95.0, 100.0], Some("nation"));
    }
    for care in ["icu", "general"] {
        let name = format!("region-{care}-free");
        rule(text, &name, "region", "available-ratio", (10.0, 13.0), &format!("care = [{care:?}]"));
    }
    rule(text, "region-coverage", "region", "coverage", (50.0, 60.0), "inhibited-by = [\"nation-coverage\"]");
    rule(text, "region-rise", "region", "rise", (3.0, 1.0), "over = \"3h\"");
    rule(text, "region-full-in", "region", "time-to-full", (2.0, 4.0), "over = \"3h\"");
    rule(text, "region-hospitals-full", "region", "children", (2.0, 1.0), "of = \"hospital-icu-100\"");
    for level in [110.0, 130.0] {
        let more = "care = [\"emergency\"]\noutlook = { margin = 0, near = 8 }";
        rule(text, &format!("region-outlook-{level}"), "region", "occupancy", (level, level), more);
    }
    rule(text, "region-stale", "region", "stale", (5.0, 2.0), "");
}

fn hospitals(text: &mut String) {
    ladder(text, "hospital", "all", &[90.0, 95.0, 100.0], Some("region"));
    for care in CARES {
        ladder(text, "hospital", care, &[90.0, 95.0, 100.0], Some("region"));
    }
    for (care, least) in [("icu", 0.0), ("icu", 2.0), ("general", 0.0), ("emergency", 0.0)] {
        let name = format!("hospital-{care}-free-{least}");
        rule(text, &name, "hospital", "available", (least, least + 1.0), &format!("care = [{care:?}]"));
    }
    for care in ["icu", "emergency", "paediatric"] {
        let name = format!("hospital-{care}-free");
        rule(text, &name, "hospital", "available-ratio", (5.0, 8.0), &format!("care = [{care:?}]"));
    }
    rule(text, "hospital-above-usual", "hospital", "occupancy", (15.0, 8.0), "above-usual = true");
    rule(text, "hospital-outlook", "hospital", "occupancy", (110.0, 110.0), "outlook = { margin = 0, near = 8 }");
    rule(text, "hospital-over-capacity", "hospital", "over-capacity", (5.0, 2.0), "");
    rule(text, "hospital-boarders", "hospital", "boarders", (10.0, 6.0), "");
    rule(text, "hospital-silent", "hospital", "stale", (1.0, 1.0), "inhibited-by = [\"region-coverage\"]");
    rule(text, "hospital-clock", "hospital", "clock-skew", (60.0, 30.0), "");
    rule(text, "hospital-refused", "hospital", "refused", (20.0, 5.0), "over = \"10m\"");
    rule(text, "hospital-equivocation", "hospital", "equivocation", (1.0, 1.0), "over = \"1h\"");
    rule(text, "hospital-wards-full", "hospital", "children", (5.0, 3.0), "of = \"ward-all-115\"");
}

fn wards(text: &mut String) {
    ladder(text, "ward", "all", &[105.0, 110.0, 115.0, 120.0], Some("hospital"));
    for care in CARES {
        ladder(text, "ward", care, &[100.0, 110.0, 120.0], Some("hospital"));
    }
    for care in CARES {
        let of = format!("care = [{care:?}]");
        rule(text, &format!("ward-{care}-free"), "ward", "available", (0.0, 1.0), &of);
        for ratio in [2.0, 4.0] {
            rule(text, &format!("ward-{care}-free-{ratio}"), "ward", "available-ratio", (ratio, ratio + 3.0), &of);
        }
    }
    for (measure, levels) in [("over-capacity", [(10.0, 5.0), (20.0, 10.0)]), ("boarders", [(3.0, 1.0), (6.0, 3.0)])] {
        for (n, levels) in levels.into_iter().enumerate() {
            rule(text, &format!("ward-{measure}-{n}"), "ward", measure, levels, "");
        }
    }
    rule(text, "ward-drift", "ward", "drift", (5.0, 2.0), "");
}
