//! How a checkpoint keeps the tables: each family that has series, after its number. A family that it does not name has
//! none, so that a family can be added without another version of the format. One that is not known is an error: the
//! checkpoint is of a later program.

use std::fmt;

use serde::de::{DeserializeSeed, Error as _, SeqAccess, Visitor};
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::catalogue::FamilyId;
use super::tables::{EngineRecord, Oddities, Tables, Values, ValuesMut};

impl Serialize for Tables {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        (Families(self), &self.engine, &self.oddities).serialize(output)
    }
}

struct Families<'t>(&'t Tables);

impl Serialize for Families<'_> {
    fn serialize<S: Serializer>(&self, output: S) -> Result<S::Ok, S::Error> {
        let families = || FamilyId::all().filter(|family| self.0.family(*family).1.len() > 0);
        let mut list = output.serialize_seq(Some(families().count()))?;
        for family in families() {
            let number = family as u8;
            match self.0.family(family).1 {
                Values::Whole(table) => list.serialize_element(&(number, table))?,
                Values::Milliseconds(table) => list.serialize_element(&(number, table))?,
                Values::Histograms(table, _) => list.serialize_element(&(number, table))?,
            }
        }
        list.end()
    }
}

impl<'de> Deserialize<'de> for Tables {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Tables, D::Error> {
        let (Found(tables), engine, oddities): (Found, EngineRecord, Oddities) =
            Deserialize::deserialize(input)?;
        Ok(Tables { engine, oddities, ..tables })
    }
}

/// The families that were found, without what stands beside them.
struct Found(Tables);

impl<'de> Deserialize<'de> for Found {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Found, D::Error> {
        input.deserialize_seq(AllFamilies)
    }
}

struct AllFamilies;

impl<'de> Visitor<'de> for AllFamilies {
    type Value = Found;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("families with their numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Found, A::Error> {
        let mut tables = Tables::default();
        while list.next_element_seed(OneFamily(&mut tables))?.is_some() {}
        Ok(Found(tables))
    }
}

/// Where the next family goes.
struct OneFamily<'t>(&'t mut Tables);

impl<'de> DeserializeSeed<'de> for OneFamily<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<(), D::Error> {
        input.deserialize_tuple(2, self)
    }
}

impl<'de> Visitor<'de> for OneFamily<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("the number of a family and its table")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<(), A::Error> {
        let without = || A::Error::custom("a family without its table");
        let number: u8 = pair.next_element()?.ok_or_else(without)?;
        let known = FamilyId::all().find(|family| *family as u8 == number);
        match self.0.family_mut(known.ok_or_else(|| A::Error::custom("a family of a later program"))?) {
            ValuesMut::Whole(table) => *table = pair.next_element()?.ok_or_else(without)?,
            ValuesMut::Milliseconds(table) => *table = pair.next_element()?.ok_or_else(without)?,
            ValuesMut::Histograms(table) => *table = pair.next_element()?.ok_or_else(without)?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::table::Table;

    #[test]
    fn a_family_that_is_not_named_is_empty_and_one_that_is_not_known_is_an_error() {
        let rest = (EngineRecord::default(), Oddities::default());
        let kept =
            |families: &[(u8, Table<u64>)]| postcard::to_stdvec(&(families, &rest.0, &rest.1)).unwrap();
        let commands = || (FamilyId::Commands as u8, Table::default());
        let tables: Tables = postcard::from_bytes(&kept(&[commands()])).unwrap();
        assert_eq!(tables.source_run_start.len(), 0);
        assert!(postcard::from_bytes::<Tables>(&kept(&[commands(), (200, Table::default())])).is_err());
    }
}
