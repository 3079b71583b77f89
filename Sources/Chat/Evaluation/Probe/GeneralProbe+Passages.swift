extension GeneralProbe {
  /// A short text of one kind.
  struct Passage: Sendable {
    let domain: String
    let text: String
  }

  /// Texts of eight kinds, written for this probe, so that no model has seen them. They never change: figures of two versions of Hearth
  /// are to be comparable.
  static let passages = [
    Passage(
      domain: "story",
      text: """
        Mara found the key under the third flowerpot, where her aunt had said it would be, and let herself in before the rain came down \
        in earnest. The house smelled of apples and cold ashes. Nobody had wound the clock in the hall for a month, and it had stopped at \
        ten past four, which was not a time at which anything had ever happened to her. She put the kettle on, sat down on the stairs and \
        read the letter again. It said only that the boat was hers now, that the engine needed a new pump, and that she should not, on any \
        account, trust the weather forecast when the swallows flew low over the harbour.
        """),
    Passage(
      domain: "science",
      text: """
        A leaf makes sugar from water and carbon dioxide, and light pays for it. The green pigment in its cells absorbs red and blue light \
        best, so what is left for our eyes is mostly green. The water comes up from the roots through narrow tubes; the gas enters through \
        small openings on the underside, which close when the air is too dry. Some of the oxygen that is set free is used by the plant \
        itself at night, when there is no light and it has to breathe as animals do. On a warm day a large oak can lift several hundred \
        litres of water, nearly all of which it loses again as vapour.
        """),
    Passage(
      domain: "instructions",
      text: """
        To make a simple bread, mix 500 grams of flour with ten grams of salt and seven grams of dried yeast. Add 320 millilitres of warm \
        water and stir until no dry flour is left. Knead the dough on a floured table for about ten minutes, then put it back into the \
        bowl, cover it with a cloth and leave it in a warm place until it has doubled in size, which takes an hour or a little more. Shape \
        it into a loaf, let it rise again for thirty minutes, and bake it at 220 degrees. It is done when it sounds hollow if you knock \
        on the bottom. Let it cool before you cut it, or the crumb will be sticky.
        """),
    Passage(
      domain: "history",
      text: """
        For most of history, people who wanted to know the time looked at the sun, and each town kept its own noon. That did no harm as \
        long as a journey took days. When railways came, a timetable had to say which clock it meant, and a driver who trusted the wrong \
        one could meet another train on the same track. So the companies began to use the time of one city along the whole line, carried \
        by telegraph every morning. Towns complained that strangers had taken their noon away, and some public clocks had two minute hands \
        for years. In the end almost every country chose a single time, or a few of them side by side.
        """),
    Passage(
      domain: "letter",
      text: """
        Dear Mr Osborne, thank you for your letter of 12 May about the noise from our workshop. You are right that the saw was running \
        after eight in the evening on two days last week. We had promised a customer to finish a staircase before a wedding, but that was \
        our problem and should not have become yours. From now on we will stop all machines at six, and on Saturdays at noon. If you hear \
        them later than that, please call me at once on the number above; you need not write. I should also like to invite you and your \
        family to see the workshop one day, so that you know where the noise used to come from. Yours sincerely, Helen Marsh.
        """),
    Passage(
      domain: "code",
      text: """
        def median(values):
            \"\"\"The middle value of a list, or the mean of the two in the middle.\"\"\"
            if not values:
                raise ValueError("median of an empty list")
            ordered = sorted(values)
            middle = len(ordered) // 2
            if len(ordered) % 2 == 1:
                return ordered[middle]
            return (ordered[middle - 1] + ordered[middle]) / 2


        for line in open("measurements.txt"):
            numbers = [float(field) for field in line.split(",")]
            print(f"{len(numbers)} values, median {median(numbers):.2f}")
        """),
    Passage(
      domain: "conversation",
      text: """
        "Do you still have the ladder I lent you?" "The long one? It's behind the shed. I was going to bring it back on Sunday, but then it \
        rained, and I didn't want to carry it through the mud." "There's no hurry. I only need it for the gutter, and the leaves aren't \
        down yet." "Shall I hold it for you when you go up? You shouldn't do that alone." "If you have the time. Last year I had to shout \
        for help because it slipped, and the postman was the only one who heard me." "Then let's say Saturday morning, before the market. \
        I'll bring the gloves, and you can make the coffee."
        """),
    Passage(
      domain: "arithmetic",
      text: """
        A tank holds 240 litres. One pipe fills it in six hours, so it brings 40 litres an hour; another fills it in four hours, so it \
        brings 60. If both are open, 100 litres come in each hour, and the tank is full after two hours and 24 minutes, since 240 divided \
        by 100 is 2.4, and four tenths of an hour are 24 minutes. Suppose now that there is a leak of 20 litres an hour. Then only 80 \
        litres remain of what comes in each hour, and filling the tank takes three hours. The leak alone would empty a full tank in twelve \
        hours. It is often a help to ask first how much happens in one hour, and only then how long the whole thing takes.
        """),
  ]
}
