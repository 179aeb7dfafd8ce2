# The figures of all rounds: their medians, the ratios taken within one round, the table and the JSON.

from statistics import median

from limits import MEASURES

COLUMNS = ["wharf", "nginx", "registry", "straight"]


class Report:
    def __init__(self):
        self.by_name = {measure.name: measure for measure in MEASURES}
        self.rounds = {}  # name: a dictionary by column for each round
        self.notes = {}  # name: why there is no figure

    def add(self, name, **figures):
        """One round's figures, by column."""
        if name not in self.by_name:
            raise KeyError(f"{name} is not in limits.py")
        self.rounds.setdefault(name, []).append(figures)

    def note(self, prefix, text):
        """All measures whose names begin with `prefix` have no figure of Wharf's, and why."""
        for name in self.by_name:
            if name.startswith(prefix):
                self.notes[name] = text

    def objects(self):
        """One a measure that there is something to say about, in the order of `limits.py`."""
        result = []
        for measure in MEASURES:
            rounds = self.rounds.get(measure.name, [])
            if not rounds and measure.name not in self.notes:
                continue
            figures = {}
            for column in COLUMNS:
                values = [figures[column] for figures in rounds if column in figures]
                figures[column] = median(values) if values else None
            ratios = [
                one["wharf"] / one[measure.against] for one in rounds
                if measure.against and "wharf" in one and one.get(measure.against)]
            ratio = median(ratios) if ratios else None
            result.append({
                "name": measure.name, "unit": measure.unit, **figures, "ratio": ratio, "must": measure.must,
                "holds": measure.holds(figures["wharf"], ratio),
                "what": measure.what.strip(), "against": measure.against, "rounds": rounds,
                "note": self.notes.get(measure.name),
            })
        return result

    def table(self):
        rows = [["", "unit", *COLUMNS, "ratio to", "must hold", ""]]
        notes = []
        for one in self.objects():
            ratio = "" if one["ratio"] is None else f"{one['ratio']:.2f} {one['against']}"
            if one["note"] and one["note"] not in notes:
                notes.append(one["note"])
            holds = {None: "", True: "holds", False: "DOES NOT HOLD"}[one["holds"]]
            rows.append([
                self.by_name[one["name"]].what, one["unit"], *(shown(one[column]) for column in COLUMNS), ratio,
                (one["must"] or ""), f"[{notes.index(one['note']) + 1}]" if one["note"] else holds])
        widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
        lines = []
        for row in rows:
            cells = zip(range(len(row)), row, widths)
            padded = [cell.rjust(width) if 2 <= n <= 5 else cell.ljust(width) for n, cell, width in cells]
            lines.append("  ".join(padded).rstrip())
        lines[1:1] = ["-" * max(len(line) for line in lines)]
        return "\n".join(lines + [f"[{n + 1}] {note}" for n, note in enumerate(notes)])


def shown(value):
    if value is None:
        return ""
    if value >= 10000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 100 else f"{value:.2f}"
