"""How every list of the API is paged: page, page_size up to 100."""

from rest_framework.pagination import PageNumberPagination


class Pages(PageNumberPagination):
    """``{"count", "next", "previous", "results"}``; a page beyond the end is 404."""

    page_size = 20
    page_size_query_param = "page_size"
    max_page_size = 100
