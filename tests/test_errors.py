import pickle

from medmm.errors import Code, ConfigError, Rejected


def test_a_rejection_survives_the_way_from_a_worker_process() -> None:
    reason = Rejected(Code.GAP, "slices 4 and 5", "6.00 mm", "3.00 mm", "export the missing slices")
    back = pickle.loads(pickle.dumps(reason))
    assert (back.code, str(back)) == (Code.GAP, str(reason))


def test_a_rejection_says_what_where_found_expected_and_repair() -> None:
    text = str(Rejected(Code.GAP, "slices 4 and 5", "6.00 mm", "3.00 mm", "export the missing slices"))
    assert text == "E_GAP: slices 4 and 5: found 6.00 mm, expected 3.00 mm: export the missing slices"


def test_a_config_error_is_a_value_error_so_that_pydantic_adds_its_place() -> None:
    assert issubclass(ConfigError, ValueError)
