//! Disability by category and grade, GB/T 26341-2010.

use serde::{Deserialize, Serialize};

use crate::rejection::{Reason, Rejection};
use crate::text_enum;
use crate::value::{Column, ColumnType, Value};

text_enum! {
    /// The categories of GB/T 26341-2010, 残疾分类.
    ///
    /// `MULTIPLE` alone does not say of what; rates that ask for an intellectual or mental
    /// disability among several need the components carried beside it.
    pub enum DisabilityCategory {
        /// 视力残疾
        Visual = "VISUAL",
        /// 听力残疾
        Hearing = "HEARING",
        /// 言语残疾
        Speech = "SPEECH",
        /// 肢体残疾, physical.
        Limb = "LIMB",
        /// 智力残疾
        Intellectual = "INTELLECTUAL",
        /// 精神残疾
        Mental = "MENTAL",
        /// 多重残疾
        Multiple = "MULTIPLE",
    }
}

/// The grade (GB/T 26341-2010, 残疾分级): 1 is the most severe, 4 the least. Ordered by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct DisabilityGrade(u8);

impl DisabilityGrade {
    /// Refuses a grade outside 1..4.
    pub fn check(field: &str, grade: i64) -> Result<Self, Rejection> {
        Self::try_from(grade).map_err(|_| Reason::FieldOutOfRange.field(field).var("range", "1..4"))
    }
}

impl TryFrom<i64> for DisabilityGrade {
    type Error = String;
    fn try_from(grade: i64) -> Result<Self, String> {
        match grade {
            1..=4 => Ok(Self(grade as u8)),
            _ => Err(format!("{grade} is no disability grade")),
        }
    }
}

impl From<DisabilityGrade> for i64 {
    fn from(grade: DisabilityGrade) -> Self {
        grade.0.into()
    }
}

impl Column for DisabilityGrade {
    const TYPE: ColumnType = ColumnType::Int;
    fn to_value(&self) -> Value {
        Value::Int((*self).into())
    }
    fn from_value(value: Value) -> Result<Self, String> {
        i64::from_value(value)?.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_run_from_one_the_most_severe() {
        for grade in 1..=4 {
            let parsed = DisabilityGrade::check("grade", grade).unwrap();
            assert_eq!(DisabilityGrade::from_value(parsed.to_value()), Ok(parsed));
        }
        for grade in [i64::MIN, -1, 0, 5, 257, i64::MAX] {
            let refused = DisabilityGrade::check("grade", grade).unwrap_err();
            assert_eq!((refused.reason, refused.field.as_deref()), (Reason::FieldOutOfRange, Some("grade")));
        }
    }

    #[test]
    fn categories_by_text() {
        assert_eq!(
            DisabilityCategory::TEXTS,
            ["VISUAL", "HEARING", "SPEECH", "LIMB", "INTELLECTUAL", "MENTAL", "MULTIPLE"]
        );
        assert!("PHYSICAL".parse::<DisabilityCategory>().is_err());
    }
}
