//! The picture: who publishes what to whom.

use std::fmt::Write as _;

use common::{Contract, QueueGroup, SubjectSet};

use super::html::escape;

/// The height of a channel's row.
const ROW: usize = 44;
/// The height of a box.
const BOX: usize = 30;
/// The left edges of publishers, channels and readers, and how wide their boxes are.
const COLUMNS: [(usize, usize); 3] = [(2, 126), (172, 146), (362, 126)];
const WIDTH: usize = 490;
/// How wide a letter is, in tenths, in the font of the style sheet.
const LETTER: usize = 76;
/// How many colours the style sheet has.
const COLOURS: usize = 6;

/// The section with the picture.
pub(super) fn section<S: SubjectSet>(contracts: &[Contract<S>], services: &[QueueGroup]) -> String {
    let height = ROW * contracts.len().max(1) + 28;
    let mut lines = String::new();
    let mut boxes = String::new();
    let publishers = placed(contracts, services, |contract, service| {
        contract.producer == service
    });
    let mut readers = placed(contracts, services, |contract, service| {
        contract.consumers.contains(&service)
    });
    spread(&mut readers, contracts.len());
    for (row, contract) in contracts.iter().enumerate() {
        let y = row_middle(row);
        let colour = colour(services, contract.producer);
        if let Some((_, from)) = publishers
            .iter()
            .find(|(service, _)| *service == contract.producer)
        {
            line(&mut lines, colour, (0, *from), (1, y));
        }
        for (service, to) in &readers {
            if contract.consumers.contains(service) {
                line(&mut lines, colour, (1, y), (2, *to));
            }
        }
        let (anchor, channel) = (
            escape(&contract.file_stem),
            escape(contract.subject.as_str()),
        );
        let _ = write!(boxes, "<a href=\"#{anchor}\">");
        node(&mut boxes, 1, y, colour, &channel);
        boxes.push_str("</a>\n");
    }
    for (column, placed) in [(0, &publishers), (2, &readers)] {
        for (service, y) in placed {
            node(
                &mut boxes,
                column,
                *y,
                colour(services, *service),
                &escape(service.as_str()),
            );
            boxes.push('\n');
        }
    }
    let mut heads = String::new();
    for (head, (x, width)) in ["publishes", "channel", "reads"].iter().zip(COLUMNS) {
        let middle = x + width / 2;
        let _ = writeln!(
            heads,
            "<text class=\"head\" x=\"{middle}\" y=\"14\">{head}</text>"
        );
    }
    format!(
        "<section id=\"flow\">\n<h2>Who tells whom</h2>\n<svg viewBox=\"0 0 {WIDTH} {height}\" role=\"group\" aria-label=\"Who publishes and who reads each channel\">\n\
         {heads}{lines}{boxes}</svg>\n</section>\n"
    )
}

/// The services that do something with some channel, each beside the middle of its channels, and none over another.
fn placed<S>(
    contracts: &[Contract<S>],
    services: &[QueueGroup],
    does: impl Fn(&Contract<S>, QueueGroup) -> bool,
) -> Vec<(QueueGroup, usize)> {
    let mut placed = Vec::new();
    for service in services {
        let rows = contracts.iter().enumerate();
        let rows: Vec<_> = rows
            .filter(|(_, contract)| does(contract, *service))
            .map(|(row, _)| row_middle(row))
            .collect();
        if !rows.is_empty() {
            placed.push((*service, rows.iter().sum::<usize>() / rows.len()));
        }
    }
    placed.sort_by_key(|(_, y)| *y);
    let mut free = 0;
    for (_, y) in &mut placed {
        *y = (*y).max(free);
        free = *y + ROW;
    }
    placed
}

/// Readers have many lines each, which are told apart the better the farther the readers are from each other.
fn spread(placed: &mut [(QueueGroup, usize)], rows: usize) {
    let count = placed.len();
    if count >= rows {
        return;
    }
    for (place, (_, y)) in placed.iter_mut().enumerate() {
        *y = 24 + ROW * rows * (2 * place + 1) / (2 * count);
    }
}

fn row_middle(row: usize) -> usize {
    24 + ROW * row + ROW / 2
}

fn colour(services: &[QueueGroup], service: QueueGroup) -> usize {
    let place = services.iter().position(|other| *other == service);
    place.unwrap_or_default() % COLOURS
}

/// From the right edge of one box to the left edge of another.
fn line(svg: &mut String, colour: usize, from: (usize, usize), to: (usize, usize)) {
    let (x, width) = COLUMNS[from.0];
    let (x1, x2) = (x + width, COLUMNS[to.0].0);
    let middle = usize::midpoint(x1, x2);
    let (y1, y2) = (from.1, to.1);
    let _ = writeln!(
        svg,
        "<path class=\"line c{colour}\" d=\"M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}\"/>"
    );
}

fn node(svg: &mut String, column: usize, y: usize, colour: usize, label: &str) {
    let (x, width) = COLUMNS[column];
    let _ = write!(
        svg,
        "<rect class=\"node c{colour}\" x=\"{x}\" y=\"{top}\" width=\"{width}\" height=\"{BOX}\" rx=\"6\"/>\
         <text x=\"{middle}\" y=\"{base}\"{squeezed}>{label}</text>",
        top = y - BOX / 2,
        middle = x + width / 2,
        base = y + 4,
        squeezed = squeezed(label, width),
    );
}

/// A name that is longer than its box is made narrower.
fn squeezed(label: &str, width: usize) -> String {
    if label.len() * LETTER > width * 10 {
        let room = width - 8;
        format!(" textLength=\"{room}\" lengthAdjust=\"spacingAndGlyphs\"")
    } else {
        String::new()
    }
}
