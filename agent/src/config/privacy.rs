//! The `[privacy]` table, and the groups that small wards must be in.
//!
//! What counts is a ward's usual size: the `staffed` of its `[[ward]]`. A grouping that followed the beds of the day
//! would tell by its changes what it is there to hide.

use std::collections::BTreeMap;

use serde::Deserialize;
use vardpuls_shared::hospital::WardId;

use super::document::Document;
use super::document::Step::{At, Key};
use super::{ConfigError, WardConfig};
use crate::grouping::published;

/// What is done so that no count tells of one patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct PrivacyConfig {
    /// No ward of fewer beds is published by itself; 0 lets every ward be.
    pub min_beds: u16,
}

impl PrivacyConfig {
    /// Checks that groups are sound, and that no published ward is too small. `places` are the positions of the wards
    /// in the document.
    pub(super) fn check(
        self,
        document: &Document<'_>,
        wards: &[WardConfig],
        places: &BTreeMap<WardId, usize>,
    ) -> Result<(), ConfigError> {
        let wrong = |ward: &WardConfig, key, problem: String| {
            let at = places.get(&ward.ward.id).copied().unwrap_or_default();
            Err(document.wrong(&[Key("ward"), At(at), Key(key)], problem))
        };
        let find = |id: &WardId| wards.iter().find(|w| w.ward.id == *id);
        let mut group_of: BTreeMap<&WardId, &WardId> = BTreeMap::new();
        for group in wards.iter().filter(|w| w.is_group()) {
            if group.staffed.is_some() {
                return wrong(group, "staffed", "has no effect on a group: it is the sum of its members".to_owned());
            }
            for id in &group.members {
                match find(id) {
                    None => return wrong(group, "members", format!("{id} is not the id of any [[ward]]")),
                    Some(member) if member.is_group() => {
                        return wrong(group, "members", format!("{id} is a group itself; name its members"));
                    }
                    Some(_) => {}
                }
                if let Some(other) = group_of.insert(id, &group.ward.id) {
                    return wrong(group, "members", format!("{id} is a member of {other} already"));
                }
            }
        }
        for ward in published(wards).filter(|_| self.min_beds > 0) {
            let mut beds: u32 = 0;
            let parts = if ward.is_group() { ward.members.iter().filter_map(find).collect() } else { vec![ward] };
            for part in parts {
                let Some(staffed) = part.staffed else {
                    let problem = "is missing: privacy.min-beds needs the usual size of each ward, also where a source gives beds";
                    return wrong(part, "staffed", problem.to_owned());
                };
                beds += u32::from(staffed);
            }
            if beds < u32::from(self.min_beds) {
                let problem = format!(
                    "{} has {beds} beds, fewer than the {} of privacy.min-beds; make it a member of a [[ward]] with members",
                    ward.ward.id, self.min_beds
                );
                return wrong(ward, "id", problem);
            }
        }
        Ok(())
    }
}
