"""Names of diseases, signs, devices and tests that are names of people too, and stay where a note speaks of a disease.

They go where they are the patient's own name, and after a title: "Dr. Foley".

Source:
    Collected from the usual textbooks of medicine, radiology and surgery; Firkin BG, Whitworth JA, Dictionary of Medical
    Eponyms, 2nd edition, Parthenon 1996, is the reference for what each is.
"""

NAMES = """
    achilles addison addisonian adson aldrich allen alport alzheimer ann apgar arbor argyll arnold asperger babinski
    baker barlow barr barre barrett barthel bartholin basedow bassini batista bayes beck becker beckwith beers behcet
    bell bence bennett berger bernard bielschowsky billroth biot bishop blakemore blalock bochdalek boerhaave borrmann
    bosniak bouchard bowen bowman braden bravais brescia bright bristol broca brodie broviac brown bruce brudzinski
    brugada budd buerger burkitt carnett caroli castleman chagas charcot chari cheyne chiari chiba chilaiditti child
    chopart churg chvostek cierny cimino clarke clavien cobb codman colles collins conn cooley cooper costen couinaud
    courvoisier cowden coxsackie creutzfeldt crigler crohn cullen curling cushing dandy danis darier debakey dercum
    dietl dindo dix doppler dressler duchenne duke dukes dupuytren duroziez ebstein edwards ehlers eisenmenger ellison
    epley epstein erb ewing fabry fallot fanconi fazekas felty finkelstein fisher fitz fleischner flint foix foley
    fontan forrester fournier fowler frank fraser freiberg friedlander friedreich frohlich frolich frostberg galeazzi
    galen ganz garden gartland gaucher gehrig gerota giemsa gilbert gilles glasgow gleason glisson goldblatt goldman
    goldmann goodpasture gottron gower gram graves grawitz griffith guillain gunther gustilo guthrie hageman hakim
    hallpike hamman hampton hansen harris hartmann hartnup hashimoto hawkins heberden hegar heimlich heinz henle henoch
    hering herring hess hesselbach hickman hill hirschsprung hodgkin hodgkins hoffmann holter homans horner horsfall
    horton hounsfield howell howship huckman hughes hunt hunter huntington hurler hutchinson imrie ishak jacksonian
    jacob jaeger jakob jarisch jarvik jefferson jeghers johnson jones kallmann kaposi karnofsky kartagener kasabach
    kawasaki kayser kellgren kerley kernig kienbock killip kimmelstiel kirschner klatskin kleihauer klinefelter klippel
    klumpke koch kocher kohler koplik korotkoff korsakoff krabbe krukenberg kugelberg kupffer kussmaul lachman ladd
    lambert langerhans langhans larrey larsen lasegue lauge lauren laurin lawrence legg leriche lesch levine lewy
    lhermitte libman lichtenberg liddle lisfranc loeffler loffler looser lou louis ludwig luer luschka lyell lyme
    macintosh mackenzie mader magill maisonneuve mallampati mallinckrodt mallory malpighi mantoux marburg marfan
    marjolin martin mayo mcburney mcgill mcmurray meckel meig meigs meld mendelson menetrier meniere merkel metavir
    michaelis mikulicz millard miller mirels mirizzi mobitz modic mondor monro montgomery morgagni moro morquio morton
    muller munchausen munro murphy murray myerson neer nelson neuber neurath niemann nissen noonan norwood ogilvie
    ollier ormond ortolani osgood osler paget pancoast papanicolaou parinaud parkinson pasteur paul pauwels peutz peyer
    peyronie pfannenstiel pfirrmann phalen pick pierre plummer pompe potain pott potter prader pringle prinzmetal pugh
    purkinje queckenstedt quervain quincke quinckes ramsay ramsey ramstedt rankin ranson ranvier raynaud recklinghausen
    reed reidel reinke reiter rendu rett reye richmond richter rideal ridley riedel ringer rinne robin rokitansky
    romberg rorschach rose rosenthal ross roth rotter rous roux rovsing rutherford sachs sachse salter scarpa schatzker
    schatzki scheuermann schilling schiotz schirmer schlatter schmorl schober schonlein schwann schwartz seidel
    seldinger sengstaken sertoli sever sezary shaver sheehan shirodkar shone shprintzen simmonds sims sjogren skene
    smith snellen spetzler sprengel stanford starling stein steinert sternberg stevens stokes strauss strumpell sturge
    sudeck swan swyer sydenham syme takayasu tamm tanner tay tenckhoff terry thomas thomsen tietze tinel todd torg
    tourette treitz trendelenburg trousseau turcot turner tzanck uhthoff unna valsalva vater vaughan veress vincent
    virchow volkmann von waaler waardenburg wagner waldenstrom waldeyer wallenberg warthin waterhouse weber wegener weil
    weiss wells wenckebach werdnig werner wernicke wertheim whipple whitmore willebrand williams wilms wilson winiwarter
    winter wiskott wolff wolfram wood wright wuchereria yankauer yersinia zahn zellweger zenker ziehl zollinger zwiefel
"""

EPONYMS = frozenset(NAMES.split())
"""In plain letters and lower case, without the possessive."""

GIVEN = """
    aaron adam adrian agnes alan albert alex alexander alexandra alice amanda amelia amy andrea andreas andrew angela
    anita ann anna anne annette anthony antonio arthur barbara benjamin bernd betty bill bob brandon brenda brian bruce
    carl carlos carol caroline catherine charles charlotte christian christina christine christopher claudia craig
    cynthia daniel daniela david deborah dennis diana diane dieter donald donna dorothy douglas edith edward eleanor
    elena elisabeth elizabeth ellen emily emma eric erika ernst eva evelyn fatima felix florian frances francis frank
    franz fred friedrich gabriele gary george gerald gerhard gilles gloria graham greg gregory hannah hans harold harry
    heather heidi heike heinz helen helena helga helmut henry herbert hermann horst howard hugo ian ingrid irene isabel
    jack jacob jacqueline jakob james jan jane janet janice jason jean jeffrey jennifer jeremy jerry jessica jim joan
    joe johann johannes john jonathan jorge jose joseph joshua joyce juan judith judy julia julian julie jurgen justin
    karen karin karl katharina katherine kathleen keith kelly kenneth kevin klaus kurt larry lars laura lauren leon
    leonard linda lisa lou louis louise lucas lucy luis lukas manfred marc marcus margaret maria marie marilyn mario
    markus marta martha martin martina mary matthew matthias maureen maximilian megan melanie melissa michael michelle
    miguel mohamed mohammed monika nancy natalie nicholas nicole nina oliver olivia otto pamela patricia patrick paul
    paula pedro peter petra philip phillip pierre rachel ralph ramon raymond rebecca renate richard robert roberto robin
    roger roland ronald rosa ruth ryan sabine samantha samuel sandra sara sarah scott sean sharon sheila shirley simon
    sofia sophia sophie stefan stefanie stephanie stephen steven susan susanne sylvia teresa theodore theresa thomas
    timothy tobias tom tony tyler ursula ute uwe valerie vanessa victoria vincent virginia walter wendy werner wilhelm
    william wolfgang yvonne
"""

GIVEN_NAMES = frozenset(GIVEN.split())
"""Frequent given names, English and German: before another capital letter they begin a name, whatever follows."""

PHRASES = ("pierre robin", "lou gehrig", "ann arbor", "gilles de la tourette", "paul bunnell")
"""Eponyms with a given name in them."""
