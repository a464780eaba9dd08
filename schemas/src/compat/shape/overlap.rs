//! What two shapes have in common.

use super::{List, MOST_PAIRS, Object, Part, Rest, Shape, Unjudged};

/// What both unions allow.
pub(super) fn both<'s>(
    left: &[Shape<'s>],
    right: &[Shape<'s>],
) -> Result<Vec<Shape<'s>>, Unjudged> {
    if left.len().saturating_mul(right.len()) > MOST_PAIRS {
        return Err(Unjudged("branches of too many branches".to_owned()));
    }
    let mut all = Vec::new();
    for left in left {
        for right in right {
            all.extend(overlap(left, right)?);
        }
    }
    Ok(all)
}

fn overlap<'s>(left: &Shape<'s>, right: &Shape<'s>) -> Result<Option<Shape<'s>>, Unjudged> {
    Ok(match (left, right) {
        (Shape::Null, Shape::Null) => Some(Shape::Null),
        (Shape::Boolean(left), Shape::Boolean(right)) => match (left, right) {
            (Some(left), Some(right)) if left != right => None,
            _ => Some(Shape::Boolean(left.or(*right))),
        },
        (
            Shape::Integer { least, most },
            Shape::Integer {
                least: low,
                most: high,
            },
        ) => {
            let (least, most) = (*least.max(low), *most.min(high));
            (least <= most).then_some(Shape::Integer { least, most })
        }
        (
            Shape::Number { least, most },
            Shape::Number {
                least: low,
                most: high,
            },
        ) => {
            let (least, most) = (least.max(*low), most.min(*high));
            (least <= most).then_some(Shape::Number { least, most })
        }
        (
            Shape::Integer { least, most },
            Shape::Number {
                least: low,
                most: high,
            },
        )
        | (
            Shape::Number {
                least: low,
                most: high,
            },
            Shape::Integer { least, most },
        ) => {
            let (least, most) = ((*least).max(ceil(*low)), (*most).min(floor(*high)));
            (least <= most).then_some(Shape::Integer { least, most })
        }
        (Shape::Text(left), Shape::Text(right)) => left.overlap(right).map(Shape::Text),
        (Shape::List(left), Shape::List(right)) => Some(Shape::List(List {
            items: join(left.items.as_ref(), right.items.as_ref()),
            least: left.least.max(right.least),
            most: [left.most, right.most].into_iter().flatten().min(),
            unique: left.unique || right.unique,
        })),
        (Shape::Object(left), Shape::Object(right)) => Some(Shape::Object(left.overlap(right)?)),
        _ => None,
    })
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "`as` saturates, which is what is meant"
)]
fn ceil(number: f64) -> i128 {
    number.ceil() as i128
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "`as` saturates, which is what is meant"
)]
fn floor(number: f64) -> i128 {
    number.floor() as i128
}

fn join<'s>(left: Option<&Part<'s>>, right: Option<&Part<'s>>) -> Option<Part<'s>> {
    match (left, right) {
        (Some(left), Some(right)) => Some(Part([left.0.clone(), right.0.clone()].concat())),
        (part, None) | (None, part) => part.cloned(),
    }
}

impl Object<'_> {
    fn overlap(&self, other: &Self) -> Result<Self, Unjudged> {
        // Both sides of a `$ref` with fields beside it; what one of them says of all other fields
        // is said of the other's fields too.
        if self.says_nothing() {
            return Ok(other.clone());
        }
        if other.says_nothing() {
            return Ok(self.clone());
        }
        let same_fields = self.fields.keys().eq(other.fields.keys());
        let rest = match (&self.rest, &other.rest) {
            (Rest::Unsaid | Rest::Anything, rest) | (rest, Rest::Unsaid | Rest::Anything)
                if same_fields || matches!(rest, Rest::Unsaid | Rest::Anything) =>
            {
                rest.clone()
            }
            (Rest::Refused, Rest::Refused) if same_fields => Rest::Refused,
            _ => {
                return Err(Unjudged(
                    "`additionalProperties` beside another schema's fields".to_owned(),
                ));
            }
        };
        if self.keys.is_some() || other.keys.is_some() {
            return Err(Unjudged(
                "`patternProperties` beside another schema".to_owned(),
            ));
        }
        let mut fields = self.fields.clone();
        for (name, part) in &other.fields {
            let joined = join(fields.get(name), Some(part));
            fields.extend(joined.map(|part| (name.clone(), part)));
        }
        Ok(Self {
            fields,
            required: self.required.union(&other.required).cloned().collect(),
            keys: None,
            rest,
        })
    }

    fn says_nothing(&self) -> bool {
        self.fields.is_empty()
            && self.required.is_empty()
            && self.keys.is_none()
            && matches!(self.rest, Rest::Anything | Rest::Unsaid)
    }
}
