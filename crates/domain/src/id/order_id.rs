//! A channel's order ids.

use std::str::FromStr;

use super::{NotAnId, is_alphanumeric, public_id};
use crate::names::RequestId;

/// An order id (商户订单号): 8 to 32 letters and digits. The channel would take 40, its settlement
/// file holds 32, and it forbids `-` and `_` (DOMAIN.md §7). Case counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OrderId(String);

public_id!(OrderId);

impl OrderId {
    /// The order id of a payment that a region instructs.
    pub fn of_instruction(request: RequestId) -> Self {
        Self(request.order_id())
    }
}

impl FromStr for OrderId {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        if is_alphanumeric(text, 8..=32) {
            Ok(Self(text.to_owned()))
        } else {
            Err(NotAnId::Form("8 to 32 letters and digits"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_refuses() {
        for text in ["20261120", "abcdEFGH0", &"9".repeat(32)] {
            assert_eq!(text.parse::<OrderId>().unwrap().as_str(), text);
        }
        for text in ["", "2026112", "2026-1120", "2026_1120", &"9".repeat(33), "订单订单", "2026112 0"] {
            assert!(text.parse::<OrderId>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_request_id_makes_one() {
        let request: RequestId = "0198f0c2-5f3a-7b1e-8c4d-0123456789ab".parse().unwrap();
        let order = OrderId::of_instruction(request);
        assert_eq!(order.as_str(), "0198f0c25f3a7b1e8c4d0123456789ab");
        assert_eq!(order, order.as_str().parse().unwrap());
    }
}
