//! The demo on recorded drops: what a replay does, told in lines.

use std::path::Path;
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use vardpuls_shared::hospital::HospitalId;

use super::{DemoError, Place, introduce, table};
use crate::replay::{Event, Replay, Stage};

/// How many hospitals of an unsettled drop are named.
const NAMED: usize = 5;

pub(super) async fn run(
    recording: &Path,
    place: &Place,
    verify: bool,
    shutdown: &CancellationToken,
) -> Result<(), DemoError> {
    let replay = Replay::open(recording)?;
    if verify && !replay.has_official() {
        return Err(DemoError::NothingOfficial(recording.to_owned()));
    }
    println!(
        "Vardpuls demo: {} recorded drops of {} departments from {}, as fast as the machine can.",
        replay.drops(),
        replay.departments(),
        recording.display()
    );
    let began = Instant::now();
    let stage = Stage { work: place.folder.join("replay"), http: place.http, mqtt: place.mqtt };
    let comparison = replay.play(&stage, shutdown, |event| tell(&event, place)).await?;
    if replay.has_official() {
        println!("{comparison}");
    }
    println!("in {:.1} s", began.elapsed().as_secs_f64());
    if verify && (!comparison.agrees() || shutdown.is_cancelled()) {
        return Err(DemoError::Disagrees);
    }
    Ok(())
}

fn tell(event: &Event<'_>, place: &Place) {
    match event {
        Event::Serving(centre) => introduce(centre, place),
        Event::Started(number, of) if number == of => println!("  {of} agents started"),
        Event::Started(..) => {}
        Event::Played { number, of, name, view } => {
            println!("{number:>4}/{of} {} {}", name.fetched, table::line(view));
        }
        Event::Unreadable(name, reason) => println!("{} is not readable: {reason}", name.file.display()),
        Event::Unsettled(name, lacking) => {
            let named: Vec<&str> = lacking.iter().take(NAMED).map(HospitalId::as_str).collect();
            let more = lacking.len().saturating_sub(NAMED);
            println!("{}: the picture does not hold {} and {more} more", name.file.display(), named.join(", "));
        }
    }
}
