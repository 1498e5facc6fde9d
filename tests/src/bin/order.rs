//! `order AGENT FILE`: in which order the linker lays an agent's functions.
//!
//! In: an agent with its symbols; valgrind and nm. Out: FILE, for `--symbol-ordering-file`: first every function that an
//! idle hospital's agent runs from its start to its end, then what such a run may need on another machine or another
//! day. Linux maps a program 64 kB at a time: what is used shares pages with what is used, and the rest of a program
//! that reads seven kinds of sources stays on the disk. `packaging/build` calls it.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use vardpuls_shared::clock::Time;
use vardpuls_tests::hospital::Pace;
use vardpuls_tests::idle::Idle;
use vardpuls_tests::process::ask_to_end;

/// Under valgrind everything takes some fifty times as long.
const PATIENCE: Duration = Duration::from_mins(2);

/// How often the agent is started: on nothing, and on the outbox that it left.
const STARTS: usize = 2;

/// How often the counts change in the life of one.
const CHANGES: usize = 2;

/// Between two reports of the same counts: longer than tokio keeps a thread that has nothing to do.
const HEARTBEAT: Duration = Duration::from_secs(12);

/// What one run does not show: locks that are waited for, tasks that end in another order, the code for other
/// processors in the signature.
const BESIDES: [&str; 8] = [
    "3std3sys4sync",
    "7runtime4task3raw7dealloc",
    "25519",
    "sha256_block",
    "sha512_block",
    "fe4_",
    "fiat_",
    "constant_time",
];

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(agent), Some(file), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        eprintln!("usage: order AGENT FILE");
        return ExitCode::from(2);
    };
    let done = tokio::runtime::Runtime::new().map_err(|e| e.to_string()).and_then(|r| r.block_on(write(&agent, &file)));
    match done {
        Ok((run, all)) => {
            println!("{run} functions run in an idle agent, {all} have a place");
            ExitCode::SUCCESS
        }
        Err(e) => {
            eprintln!("order: {}: {e}", agent.display());
            ExitCode::FAILURE
        }
    }
}

/// Writes the order; how many functions ran, and how many have a place in it.
async fn write(agent: &Path, file: &Path) -> Result<(usize, usize), String> {
    // As callgrind will call it.
    let agent = &fs::canonicalize(agent).map_err(|e| e.to_string())?;
    let profiles = watch(agent).await?;
    let object = agent.to_string_lossy();
    let run: BTreeSet<&str> = profiles.iter().flat_map(|profile| functions(profile, &object)).collect();
    let symbols = symbols(agent).await?;
    // A name that the program does not have was stripped.
    let mut order: Vec<&str> = run.iter().copied().filter(|name| symbols.contains(*name)).collect();
    if order.len() < 100 {
        return Err(format!("only {} of its functions were seen; were its symbols stripped?", order.len()));
    }
    let ran = order.len();
    let besides = |name: &&str| BESIDES.iter().any(|part| name.contains(part)) && !run.contains(name);
    order.extend(symbols.iter().map(String::as_str).filter(besides));
    let placed = order.len();
    fs::write(file, order.join("\n") + "\n").map_err(|e| format!("{}: {e}", file.display()))?;
    Ok((ran, placed))
}

/// Lets the agent work for an idle hospital, and callgrind write down what each start of it runs.
async fn watch(agent: &Path) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let pace = Pace {
        heartbeat: HEARTBEAT,
        min_gap: Duration::from_secs(1),
        jitter: Duration::from_secs(1),
        valid_for: Duration::from_mins(3),
    };
    let idle = Idle::start(folder.path(), pace).await.map_err(|e| e.to_string())?;
    let mut profiles = Vec::new();
    let mut heard: Option<Time> = None;
    for start in 1..=STARTS {
        let profile = folder.path().join("profile");
        let mut child = callgrind(agent, &idle, &profile)?;
        for change in 1..=CHANGES {
            idle.write(start * CHANGES + change).map_err(|e| e.to_string())?;
            // One for the change and one for the heartbeat after it.
            for _ in 0..2 {
                heard = Some(idle.heard_after(heard, PATIENCE).await.map_err(|e| e.to_string())?);
            }
        }
        ask_to_end(&child).map_err(|e| e.to_string())?;
        let status = child.wait().await.map_err(|e| e.to_string())?;
        if !status.success() {
            return Err(format!("under valgrind it ended with {status}"));
        }
        profiles.push(fs::read_to_string(&profile).map_err(|e| format!("valgrind's profile: {e}"))?);
    }
    idle.stop().await.map_err(|e| e.to_string())?;
    Ok(profiles)
}

fn callgrind(agent: &Path, idle: &Idle, profile: &Path) -> Result<Child, String> {
    Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--fair-sched=yes", "--demangle=no", "--compress-strings=no"])
        .arg(format!("--callgrind-out-file={}", profile.display()))
        .arg(agent)
        .arg("run")
        .arg("--config")
        .arg(idle.config_file())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("valgrind: {e}"))
}

/// The functions of `object` in a callgrind profile: `ob=` says whose the `fn=` lines after it are.
fn functions<'p>(profile: &'p str, object: &str) -> BTreeSet<&'p str> {
    let mut ours = false;
    let mut found = BTreeSet::new();
    for line in profile.lines() {
        if let Some(of) = line.strip_prefix("ob=") {
            ours = of == object;
        } else if let Some(name) = line.strip_prefix("fn=").filter(|_| ours) {
            // A function that calls itself is written once more for each depth.
            found.insert(name.split_once('\'').map_or(name, |(name, _)| name));
        }
    }
    found
}

/// The functions that a program has.
async fn symbols(program: &Path) -> Result<BTreeSet<String>, String> {
    let output =
        Command::new("nm").arg("--defined-only").arg(program).output().await.map_err(|e| format!("nm: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let function = |line: &str| {
        let mut words = line.split_whitespace().skip(1);
        matches!(words.next()?, "t" | "T" | "w" | "W").then(|| words.next().map(str::to_owned))?
    };
    Ok(text.lines().filter_map(function).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_programs_own_functions_are_taken_and_each_once() {
        let profile = "events: Ir\n\nob=/lib/libc.so.6\nfn=memcpy\n0x1 2\nob=/a/agent\nfl=???\nfn=main\n1 1\ncfn=other\n\
                       calls=1 0\n1 5\nfn=main'2\n1 1\n\nob=/lib/ld.so\nfn=_start\n1 1\n";
        assert_eq!(functions(profile, "/a/agent"), BTreeSet::from(["main"]));
        assert!(functions(profile, "/a/other").is_empty());
    }
}
