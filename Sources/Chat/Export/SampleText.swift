/// A text that ships with Hearth, to measure what quantising costs where no data is at hand.
///
/// Plain prose with names, numbers, a list and a little code, written for this purpose, so that no model has seen it.
enum SampleText {
  static let text = """
    The old ferry between Marrow Point and the island left twice a day, at seven in the morning and again a little after four. Ines had \
    taken it so often that she knew every sound it made: the low cough of the engine, the chain running out over the bow, the gulls that \
    followed as far as the second buoy and then turned back. On the last Friday of October she carried a box of seedlings, a letter from \
    the harbour office, and forty-two dollars in small coins, because the machine at the landing had been broken since summer and the \
    captain did not like to give change. "You could pay me once a month," he said, as he always did, and she answered that she would \
    rather not owe anyone anything before breakfast.

    Water boils at 100 degrees Celsius at sea level, but only at about 93 degrees in a town that lies 2,000 metres up, since the air above \
    presses on it with less weight. That is why rice takes longer in the mountains, and why bakers there use a little less yeast. To see it \
    for yourself, you need three things: a thermometer, a pot with a lid, and patience. First, fill the pot halfway and heat it slowly. \
    Second, write down the temperature each minute until it stops rising. Third, compare the number with a table of heights and pressures. \
    If the two disagree by more than a degree, the thermometer is more likely to be wrong than the table.

    A short program can do the same sum. In Python, one would write: def boiling_point(height): return 100 - height / 285. It is a rough \
    rule, of course, and it fails for very great heights, yet for most kitchens it is close enough. People sometimes ask whether salt \
    changes the answer. It does, but so little that a spoonful in a large pot moves the boiling point by less than a tenth of a degree, \
    which nobody has ever tasted.
    """
}
