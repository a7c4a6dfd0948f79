"""Which name was meant."""

from vaebench.catalog.names import nearest


def test_a_member_of_a_grid_is_found_in_whatever_order_its_parameters_come():
    members = ["s[latent=4,beta=2]", "s[latent=2,beta=1]", "s[latent=2,beta=2]"]
    assert nearest("s[beta=1,latent=2]", members) == "s[latent=2,beta=1]"
    assert nearest("S[latent=2, beta=1]", members) == "s[latent=2,beta=1]"


def test_what_is_nowhere_near_is_not_guessed_at():
    assert nearest("beta-vea", ["vae", "beta-vae"]) == "beta-vae"
    assert nearest("gmm", ["vae", "beta-vae"]) is None
