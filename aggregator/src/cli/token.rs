//! `token`: makes a bearer token. Writes nothing: a person puts the printed block into the operators file.
//!
//! The block is on standard output, so that it can be appended to the file; the token itself is on
//! standard error, so that it cannot.

use std::error::Error;
use std::path::Path;

use crate::config::Config;
use crate::operators::{self, Role, Token, block, check_name};

pub(super) fn token(name: &str, role: Role, config: &Path) -> Result<(), Box<dyn Error>> {
    check_name(name)?;
    let file = Config::load(config)?.alerts.operators_file;
    let place = match &file {
        Some(file) => {
            // A file that is not there yet is what the block makes.
            let there = file.try_exists()?.then(|| operators::read(file)).transpose()?.unwrap_or_default();
            if there.iter().any(|operator| operator.name == name) {
                let file = file.display();
                return Err(
                    format!("{name:?} stands in {file} already; remove that block first: its token ends then").into()
                );
            }
            format!("Append the block to {}; it is read at once.", file.display())
        }
        None => "Put the block into a file, and name it in the config: operators-file under [alerts].".to_owned(),
    };
    let token = Token::make();
    println!("\n{}", block(name, role, token.digest()).trim_end());
    eprintln!("The token of {name}, {role}. It is shown only now; whoever has it acts in that name:");
    eprintln!("{}", token.text());
    eprintln!("{place}");
    Ok(())
}
