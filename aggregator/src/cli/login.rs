//! `login`: makes a login for the broker's network listener. Writes nothing: a person puts the printed block into the
//! logins file.
//!
//! The block is on standard output, so that it can be appended to the file; the password itself is on
//! standard error, so that it cannot.

use std::error::Error;
use std::path::Path;

use vardpuls_shared::hospital::HospitalId;

use crate::broker::front::logins;
use crate::config::{BrokerPlace, Config};
use crate::operators::Token;

pub(super) fn login(name: &HospitalId, config: &Path) -> Result<(), Box<dyn Error>> {
    let file = match Config::load(config)?.broker.place {
        BrokerPlace::Embedded(embedded) => embedded.network.and_then(|network| network.logins_file),
        BrokerPlace::External(_) => {
            return Err("the config names an external broker (broker.url): its logins are made there".into());
        }
    };
    let place = match &file {
        Some(file) => {
            // A file that is not there yet is what the block makes.
            let there = file.try_exists()?.then(|| logins::read(file)).transpose()?.unwrap_or_default();
            if there.has(name) {
                let file = file.display();
                return Err(
                    format!("{name} stands in {file} already; remove that block first: its login ends then").into()
                );
            }
            format!("Append the block to {}; it is read within seconds.", file.display())
        }
        None => "Put the block into a file, and name it in the config: logins-file under [broker.network].".to_owned(),
    };
    let token = Token::make();
    println!("\n{}", logins::block(name, token.digest()).trim_end());
    eprintln!(
        "The password of {name}. It is shown only now; the agent's config names a file that holds it (password-file):"
    );
    eprintln!("{}", token.text());
    eprintln!("{place}");
    Ok(())
}
