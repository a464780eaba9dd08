use std::fmt;
use std::time::Duration;

use common::http::JwtKey;

use crate::market::api::{Addresses, SIGNED_IN_FOR};

/// Lines for a shell that walk one ticket to the end, with the real ports and tokens.
#[derive(Debug)]
pub(super) struct Walk {
    addresses: Addresses,
    seller: String,
    buyer: String,
    ttl: Duration,
}

impl Walk {
    pub(super) fn new(addresses: &Addresses, key: &JwtKey, ttl: Duration) -> anyhow::Result<Self> {
        let token = |user: &str| anyhow::Ok(key.mint(&user.parse()?, SIGNED_IN_FOR));
        Ok(Self {
            addresses: addresses.clone(),
            seller: token("alice")?,
            buyer: token("bob")?,
            ttl,
        })
    }
}

impl fmt::Display for Walk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            addresses,
            seller,
            buyer,
            ttl,
        } = self;
        let [tickets, orders, payments] =
            [&addresses.tickets, &addresses.orders, &addresses.payments]
                .map(|replicas| replicas[0]);
        let expired = ttl.as_secs() + 2;
        write!(
            f,
            r#"TICKETS=http://{tickets}/api/tickets ORDERS=http://{orders}/api/orders PAYMENTS=http://{payments}/api/payments
ALICE='Authorization: Bearer {seller}'
BOB='Authorization: Bearer {buyer}'
post() {{ curl -sS -H "$1" -H 'Content-Type: application/json' -d "$3" "$2"; }}
show() {{ echo "-- $1:"; curl -sS -H "$BOB" "$2"; echo; }}
first_id() {{ grep -o '"id":"[^"]*"' | head -n 1 | cut -d '"' -f 4; }}

echo; echo 'A ticket from created to complete'
TICKET=$(post "$ALICE" $TICKETS '{{"title":"Blues night, front row","price":2500}}' | first_id); sleep 0.5
ORDER=$(post "$BOB" $ORDERS "{{\"ticketId\":\"$TICKET\"}}" | first_id); sleep 0.5
show 'awaiting:payment' $ORDERS/$ORDER
echo '-- paid:'; post "$BOB" $PAYMENTS "{{\"orderId\":\"$ORDER\",\"token\":\"tok_visa\"}}"; echo; sleep 0.5
show 'complete' $ORDERS/$ORDER
show 'sold to that order' $TICKETS/$TICKET

echo; echo 'A ticket whose order nobody pays within {ttl:?}'
TICKET=$(post "$ALICE" $TICKETS '{{"title":"Blues night, back row","price":900}}' | first_id); sleep 0.5
ORDER=$(post "$BOB" $ORDERS "{{\"ticketId\":\"$TICKET\"}}" | first_id); sleep {expired}
show 'cancelled' $ORDERS/$ORDER
show 'for sale again' $TICKETS/$TICKET"#
        )
    }
}
