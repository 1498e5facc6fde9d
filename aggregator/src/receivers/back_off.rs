//! How long to wait before the next attempt: longer each time, and never in step with others. Pure.

use std::time::Duration;

/// The waits between attempts.
#[derive(Debug, Clone)]
pub struct BackOff {
    shortest: Duration,
    longest: Duration,
    failures: u32,
}

impl Default for BackOff {
    /// From one second to five minutes.
    fn default() -> BackOff {
        BackOff::between(Duration::from_secs(1), Duration::from_mins(5))
    }
}

impl BackOff {
    /// Waits from `shortest` to `longest`.
    pub fn between(shortest: Duration, longest: Duration) -> BackOff {
        BackOff { shortest, longest, failures: 0 }
    }

    /// The wait after one more failure. `chance` from 0 to 1 spreads it over its upper half, so that
    /// receivers that failed together do not come back together.
    pub fn after_failure(&mut self, chance: f64) -> Duration {
        let doubled = self.shortest.saturating_mul(2_u32.saturating_pow(self.failures + 1)).min(self.longest);
        self.failures = self.failures.saturating_add(1).min(30);
        (doubled / 2 + (doubled / 2).mul_f64(chance.clamp(0.0, 1.0))).max(self.shortest)
    }

    /// It worked: the next failure waits the shortest again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_again() {
        let mut low = BackOff::default();
        let mut high = BackOff::default();
        for (shortest, longest) in [(1, 2), (2, 4), (4, 8), (8, 16), (16, 32), (32, 64), (64, 128), (128, 256)] {
            assert_eq!(low.after_failure(0.0), Duration::from_secs(shortest));
            assert_eq!(high.after_failure(1.0), Duration::from_secs(longest));
        }
        for _ in 0..100 {
            assert_eq!(low.after_failure(0.0), Duration::from_secs(150));
            assert_eq!(high.after_failure(1.0), Duration::from_mins(5));
        }
        low.reset();
        assert_eq!(low.after_failure(0.5), Duration::from_millis(1500));
    }
}
