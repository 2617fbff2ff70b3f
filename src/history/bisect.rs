//! Which of several commits it was, by comparing builds of them.

/// What came of comparing two builds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The later one is slower.
    Slower,
    /// It is not.
    NotSlower,
    /// That could not be told.
    Unknown,
}

/// What came of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// This commit, by its index.
    Commit(usize),
    /// One of these, from the first index to the last: what lies between could not be told.
    Between(usize, usize),
    /// The ends of the range do not differ.
    NotThere,
    /// Whether they do could not be told.
    Unknown,
}

/// Finds the commit that made something slower among `commits` (oldest first), given the last good one before them. `compare` says whether the
/// build of its second argument is slower than that of its first.
///
/// Every comparison is with the last commit known to be good: a chain of small differences would not add up.
///
/// # Errors
/// What `compare` fails with.
pub fn bisect<E>(
    good: &str,
    commits: &[String],
    mut compare: impl FnMut(&str, &str) -> Result<Answer, E>,
) -> Result<Found, E> {
    let Some(end) = commits.last() else { return Ok(Found::NotThere) };
    match compare(good, end)? {
        Answer::Slower => {}
        Answer::NotSlower => return Ok(Found::NotThere),
        Answer::Unknown => return Ok(Found::Unknown),
    }
    // The culprit is in from..=to.
    let (mut from, mut to) = (0, commits.len() - 1);
    while from < to {
        let middle = from + (to - from) / 2;
        match compare(good, &commits[middle])? {
            Answer::Slower => to = middle,
            Answer::NotSlower => from = middle + 1,
            Answer::Unknown => return Ok(Found::Between(from, to)),
        }
    }
    Ok(Found::Commit(from))
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn search(of: usize, answer: impl Fn(usize) -> Answer) -> (Found, usize) {
        let commits: Vec<String> = (0..of).map(|i| i.to_string()).collect();
        let mut asked = 0;
        let compare = |good: &str, commit: &str| -> Result<Answer, Infallible> {
            assert_eq!(good, "good");
            asked += 1;
            Ok(answer(commit.parse().unwrap()))
        };
        let Ok(found) = bisect("good", &commits, compare);
        (found, asked)
    }

    #[test]
    fn any_culprit_is_found_in_a_logarithm_of_comparisons() {
        for of in [1, 2, 3, 7, 64] {
            for culprit in 0..of {
                let slow = |at| if at >= culprit { Answer::Slower } else { Answer::NotSlower };
                let (found, asked) = search(of, slow);
                assert_eq!(found, Found::Commit(culprit), "{culprit} of {of}");
                assert!(asked <= 8);
            }
        }
    }

    #[test]
    fn what_cannot_be_told_leaves_a_range_that_holds_the_culprit() {
        let murky = |at: usize| match at {
            0..4 => Answer::NotSlower,
            4..7 => Answer::Unknown,
            _ => Answer::Slower,
        };
        assert_eq!(search(10, murky).0, Found::Between(0, 9));
        assert_eq!(search(1, |_| Answer::Unknown).0, Found::Unknown);
        assert_eq!(search(3, |_| Answer::NotSlower).0, Found::NotThere);
        assert_eq!(search(0, |_| Answer::Slower), (Found::NotThere, 0));
    }
}
