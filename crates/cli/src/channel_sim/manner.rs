//! How the simulated channel behaves: of every order one manner, drawn from the seed.

use anyhow::ensure;
use serde::{Deserialize, Serialize};

/// What the channel does about one order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Manner {
    /// Answers at once: confirms, credits, returns, transfers.
    Plain,
    Rejects,
    Late,
    Silent,
    TimesOut,
    Overtaken,
    Duplicates,
    Contradicts,
    WrongAmount,
    WrongDate,
    CreditFails,
}

/// Rates per mille of all orders; the rest behaves. What a kind of order does not know is plain.
#[derive(clap::Args, Clone, Debug)]
#[command(next_help_heading = "Misbehaviour, per mille of the orders")]
pub struct Manners {
    /// Rejects instructions; what it asked for itself, the payer gives up after approval.
    #[arg(long, value_name = "PER_MILLE", default_value_t = 0)]
    rejects: u64,
    /// Answers after --late-ms.
    #[arg(long, value_name = "PER_MILLE", default_value_t = 0)]
    late: u64,
    /// Accepts only (answer code 00) and says nothing more until the query numbered --answers-at;
    /// then confirms or rejects.
    #[arg(long, value_name = "PER_MILLE", default_value_t = 0)]
    silent: u64,
    /// Declines after its own time-out, and reverses the approval that came too late.
    #[arg(long, value_name = "PER_MILLE", default_value_t = 0)]
    times_out: u64,
    /// Declines, and its reversal arrives before the authorisation, which is then approved for nobody.
    #[arg(long, value_name = "PER_MILLE", default_value_t = 0)]
    overtaken: u64,
    /// Sends everything again: under the same request id, and under a new one.
    #[arg(long, value_name = "PER_MILLE", default_value_t = 0)]
    duplicates: u64,
    /// Confirms what it rejected or reversed, reverses what it confirmed, fails what it credited.
    #[arg(long, value_name = "PER_MILLE", default_value_t = 0)]
    contradicts: u64,
    /// Answers with a fen too much, then with the right amount.
    #[arg(long, value_name = "PER_MILLE", default_value_t = 0)]
    wrong_amount: u64,
    /// Confirms on a clearing date ten days ago, then on the right one.
    #[arg(long, value_name = "PER_MILLE", default_value_t = 0)]
    wrong_date: u64,
    /// Credits fail, and succeed after --late-ms.
    #[arg(long, value_name = "PER_MILLE", default_value_t = 0)]
    credit_fails: u64,
    /// How late is late, milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    pub late_ms: u64,
    /// The query that a silent channel answers, from 1.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub answers_at: u64,
}

impl Manners {
    fn rates(&self) -> [(Manner, u64); 10] {
        [
            (Manner::Rejects, self.rejects),
            (Manner::Late, self.late),
            (Manner::Silent, self.silent),
            (Manner::TimesOut, self.times_out),
            (Manner::Overtaken, self.overtaken),
            (Manner::Duplicates, self.duplicates),
            (Manner::Contradicts, self.contradicts),
            (Manner::WrongAmount, self.wrong_amount),
            (Manner::WrongDate, self.wrong_date),
            (Manner::CreditFails, self.credit_fails),
        ]
    }

    pub fn check(&self) -> anyhow::Result<()> {
        let sum = self.rates().iter().try_fold(0_u64, |sum, (_, rate)| sum.checked_add(*rate));
        ensure!(sum.is_some_and(|sum| sum <= 1_000), "the rates of all misbehaviours together are at most 1000");
        Ok(())
    }

    pub fn draw(&self, chance: u64) -> Manner {
        let mut left = chance % 1_000;
        for (manner, rate) in self.rates() {
            match left.checked_sub(rate) {
                None => return manner,
                Some(rest) => left = rest,
            }
        }
        Manner::Plain
    }
}

/// A number that only the seed and what it is drawn for decide.
pub fn chance(seed: u64, what: &str, number: u64) -> u64 {
    let text = format!("{seed} {what} {number}");
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    u64::from_be_bytes(digest.as_ref()[..8].try_into().expect("a digest has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        manners: Manners,
    }

    fn manners(line: &str) -> Manners {
        Line::parse_from(line.split(' ')).manners
    }

    #[test]
    fn rates_are_met_and_the_rest_is_plain() {
        let manners = manners("sim --rejects 100 --silent 300 --credit-fails 50");
        manners.check().unwrap();
        let drawn: Vec<Manner> = (0..1_000).map(|chance| manners.draw(chance)).collect();
        let count = |manner| drawn.iter().filter(|drawn| **drawn == manner).count();
        let counts = [Manner::Rejects, Manner::Silent, Manner::CreditFails, Manner::Plain].map(count);
        assert_eq!(counts, [100, 300, 50, 550]);
    }

    #[test]
    fn rates_beyond_all_orders_are_refused() {
        assert!(manners("sim --late 1000 --silent 1").check().is_err());
        assert!(manners(&format!("sim --late {} --silent 1", u64::MAX)).check().is_err());
    }

    #[test]
    fn a_seed_draws_the_same_again_and_another_seed_does_not() {
        let draw = |seed| (0..20).map(|n| chance(seed, "PAY", n)).collect::<Vec<_>>();
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
