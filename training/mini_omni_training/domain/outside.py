"""What lies outside of the domain and is answered with not knowing it: subjects in a few wordings
each, and single questions of every other form."""

from collections.abc import Iterator

from .fact import Fact

UNKNOWN = "Sorry, I do not know that."

OUTSIDE_SUBJECTS = (
    "the king of Spain|the price of gold|the name of my dog|the best phone|"
    "the speed of sound|the last world cup|the president|my birthday|the stock market|"
    "quantum physics|the theory of evolution|my lost keys|the meaning of life|a good film|"
    "the news|the traffic|cooking rice|chess|the deepest lake|the oldest bridge|my doctor|"
    "ancient Rome|black holes|the first computer|the guitar|my neighbor|the national team|"
    "fishing|volcanoes|painting|the human brain|your favorite movie|taxes|the airport|"
    "the internet|dinosaurs|the pyramids|Shakespeare|football|electric cars|"
    "the ocean floor|yoga|sailing|vaccines|the war|poetry"
).split("|")

OUTSIDE_QUESTIONS = (
    "Who wrote Don Quixote?|Who wrote the first dictionary?|Who painted this picture?|"
    "Who built the great wall?|Who discovered America?|Who is the queen of Denmark?|"
    "Who is your favorite singer?|Who is the fastest runner in the world?|"
    "Who won the match last night?|Who plays the piano best?|Who lives next door?|"
    "Who is on the phone?|Who sent me that message?|Who is the author of this book?|"
    "Who was the first man in space?|Who is Albert Einstein?|Who is the boss of this company?|"
    "How tall is my brother?|How tall is that mountain?|How deep is the sea?|"
    "How far is it to the station?|How far is the sun?|How long does the film take?|"
    "How long is the river Thames?|How old is the universe?|How old is this house?|"
    "How much does a car cost?|How much is a loaf of bread?|How much money do I have?|"
    "How do planes fly?|How do I get to the airport?|How do I cook an egg?|"
    "How do I learn to swim?|How do I fix my computer?|How do I tie a tie?|How do fish sleep?|"
    "How do you make cheese?|How can I lose weight?|How can I save money?|"
    "How does the heart work?|How does a telescope work?|How does a radio work?|"
    "How was your weekend?|How big is Russia?|How fast is a train?|How strong is an ant?|"
    "How many people live in China?|How many stars are in the sky?|How many books did she write?|"
    "How many players are in a team?|What is the population of Brazil?|What is the tallest tree?|"
    "What is the longest bridge in Asia?|What is the biggest ocean?|What is the best car?|"
    "What is the best way to travel?|What is the secret of success?|"
    "What is the price of a ticket?|What is the score of the game?|"
    "What is the name of that actor?|What is my address?|What is my favorite color?|"
    "What is a good name for a boy?|What is a neutron?|What is love?|What is democracy?|"
    "What is art?|What is this song?|What is in the box?|What is wrong with my car?|"
    "What is the recipe for pancakes?|What is the root of two?|What should I wear tonight?|"
    "What should I read next?|What should I give my mother for her birthday?|What do bees eat?|"
    "What do you think about politics?|What do doctors say about sugar?|"
    "What does this word mean?|What does a lawyer do?|What did I do yesterday?|"
    "What did the teacher say?|What did the president say?|What happened in nineteen sixty nine?|"
    "What happened at the party?|What happened to my train?|What will happen tomorrow?|"
    "What language do they speak in Brazil?|What causes rain?|What makes the wind blow?|"
    "What books do you read?|What time does the train leave?|What time does the shop close?|"
    "Where can I buy a phone?|Where can I find a doctor?|Where can I eat pizza?|"
    "Where can I learn to dance?|Where do penguins live?|Where do babies come from?|"
    "Where does the sun go at night?|Where did you go to school?|"
    "Where did they find the treasure?|Where are my shoes?|Where are the keys?|"
    "Where is the nearest bank?|Where is the post office?|Where is my mother?|"
    "Where is the train now?|When does the bank open?|When does the film start?|"
    "When does the bus come?|When does school end?|When did the war end?|When did she arrive?|"
    "When was the telescope invented?|When was Mozart born?|When is Easter?|"
    "When is my appointment?|When is the next train?|When will it rain?|"
    "When will we land on Mars?|Why is the grass wet?|Why is the sea salty?|"
    "Why is my phone so slow?|Why is bread so soft?|Why is silver so cheap?|Why are you late?|"
    "Why are leaves falling?|Why do dogs bark at night?|Why do we dream?|Why do birds sing?|"
    "Why do people fall in love?|Why does ice float?|Why does it snow in winter?|"
    "Why did the king die?|Why did the ship sink?|Why can I not sleep?|Which team is the best?|"
    "Which phone should I buy?|Which river flows through London?|Which language is the hardest?|"
    "Which film won the prize?|Can you call my sister?|Can you read my mail?|"
    "Can you order a pizza?|Can you book a table for two?|Can you write a poem?|"
    "Can you draw a horse?|Can you drive a car?|Can you recommend a book?|"
    "Can you recommend a hotel?|Can you translate this word?|Can you solve this equation?|"
    "Can you fix my bike?|Can you find my phone?|Can you check my spelling of this letter?|"
    "Can you show me the way?|Can you send a message to Peter?|Could you buy me some milk?|"
    "Tell me a story.|Tell me a story about a princess.|Tell me the truth.|"
    "Tell me the price of oil.|Tell me how to get rich.|Tell me why the sky is blue.|"
    "Tell me what to do.|Tell me who won.|Give me a recipe for soup.|Give me some advice.|"
    "Read me a poem.|Play some music for me.|Write an essay about freedom.|"
    "Call a taxi.|Buy two tickets for the concert.|Find a cheap flight to Rome.|"
    "Show me pictures of mountains.|Describe the painting.|Explain the rules of tennis.|"
    "Is there life on Mars?|Is there a pharmacy near here?|Is the shop open?|"
    "Is my brother at home?|Is it safe to swim here?|Are you married?|"
    "Are there sharks in this lake?|Does she love me?|Does the train stop here?|Did they win?|"
    "Did you see that film?|Do you know my teacher?|Do I need a visa?|Should I sell my house?|"
    "Should I take the job?|Will it be sunny at the beach?|Will the bus be late?|"
    "Have you ever been to space?|Was Napoleon short?|Were there kings in Iceland?"
).split("|")

# To test with; none of them is trained on.
OUTSIDE_UNSEEN = (
    "Who wrote Romeo and Juliet?|How tall is the tallest building?|"
    "What is the best way to learn Greek?|Why is the sky dark at night?|Who won the election?|"
    "Can you recommend a restaurant?|How do I bake bread at home?|"
    "What happened to the Roman empire?|Where can I buy a used bicycle?|"
    "Tell me something about submarines.|What do you know about jazz?|"
    "How does a refrigerator work?|Who invented the telephone?|When did the railway begin?|"
    "Can you explain inflation to me?|Why do people talk about robots?|"
    "What is the population of Canada?|How far away is the moon?|Who painted the Mona Lisa?|"
    "What is my phone number?|How much does a ticket cost?|When does the museum open?|"
    "Why do cats sleep so much?|Tell me a story about a dragon.|"
    "What is the best song of the year?|Who is the richest person in the world?|"
    "How old is my grandfather?|Can you book a flight to Sydney?|"
    "What do you know about gardening?|Tell me something about the Vikings.|"
    "How does a magnet work?|Who invented the camera?|When did the Olympic games begin?|"
    "Can you explain gravity to me?|Why do people talk about the climate?|"
    "What happened to the Titanic?|How do I repair a broken chair?|"
    "What should I cook for dinner?|Who is the captain of the ship?|"
    "Where did I park my motorcycle?|What is the secret of a happy marriage?|"
    "How do birds find their way south?|Can you translate this letter?|Why is gold so expensive?|"
    "What do you know about mathematics?|Tell me something about mushrooms.|"
    "Who invented the wheel?|How does a piano work?|When did the gold rush begin?|"
    "What is the longest river in Africa?"
).split("|")


def outside() -> Iterator[Fact]:
    for subject in OUTSIDE_SUBJECTS:
        ways = [
            f"What do you know about {subject}?", f"Tell me something about {subject}.",
            f"Can you explain {subject} to me?", f"Who invented {subject}?",
            f"Why do people talk about {subject}?", f"What happened to {subject}?",
            f"When did {subject} begin?", f"How does {subject} work?",
        ]  # fmt: skip
        yield Fact(subject, ways, UNKNOWN, "", {})


KINDS = {"outside": outside}
